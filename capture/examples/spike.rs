use aya::programs::{Xdp, TestRun, TestRunOptions};
use aya::maps::{Array};
use common::config::Config;
#[derive(Clone, Copy)] #[repr(transparent)] struct C(Config);
unsafe impl aya::Pod for C {}
fn main() {
    let t = std::time::Instant::now();
    let mut e = match capture::source::live::load::spike(std::env::args().nth(1).as_deref()) { Ok(e) => e, Err(x) => { println!("{x:?}"); std::process::exit(1) } };
    eprintln!("load {:?}", t.elapsed());
    let mut m: Array<_, C> = Array::try_from(e.map_mut("CONFIG").unwrap()).unwrap();
    let mut c = Config::default(); c.ring_count = 2;
    m.set(0, C(c), 0).unwrap();
    let x: &mut Xdp = e.program_mut("hdrcap").unwrap().try_into().unwrap();
    eprintln!("verified insns {:?}", x.info().unwrap().verified_instruction_count());
    let tcp = |payload: &[u8]| { let mut f = vec![0u8;54]; f[12]=8; f[14]=0x45; let l=(40+payload.len()) as u16; f[16..18].copy_from_slice(&l.to_be_bytes()); f[23]=6; f[26..30].copy_from_slice(&[10,0,0,1]); f[30..34].copy_from_slice(&[10,0,0,2]); f[34..36].copy_from_slice(&40000u16.to_be_bytes()); f[36..38].copy_from_slice(&80u16.to_be_bytes()); f[46]=0x50; f[47]=0x10; f.extend_from_slice(payload); f};
    let mut head = b"GET /index.html HTTP/1.1\r\n".to_vec();
    while head.len() < 560 { head.extend_from_slice(b"X-Some-Header: value-value-value-value\r\n"); }
    while head.len() < 596 { head.push(b'x'); }
    head.extend_from_slice(b"\r\n\r\n");
    let mut arp = vec![0u8; 60]; arp[12]=8; arp[13]=6;
    let mut udp = tcp(&[0;100]); udp[23]=17;
    for (n, f) in [("arp", arp), ("udp", udp), ("body1460", tcp(&[0x17; 1460])), ("textbody", tcp(&[b'a'; 1460])), ("ack", tcp(b"")), ("head600", tcp(&head)), ("cont", tcp(&head[1..]))] {
        let mut best = u128::MAX;
        for _ in 0..20 { let r = x.test_run(TestRunOptions { data_in: Some(&f), repeat: 500, ..Default::default() }).unwrap(); best = best.min(r.duration.as_nanos()); }
        println!("{n}: {best} ns");
    }
}
