//! Loads the kernel half.
use anyhow::Result;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya::maps::{MapData, of_maps::ArrayOfMaps, Array};
use aya::programs::Xdp;
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hdrcap-xdp"));
pub fn spike(path: Option<&str>) -> Result<Ebpf> {
    let bytes = match path { Some(p) => std::fs::read(p)?, None => OBJECT.to_vec() };
    let level = if std::env::var("V").is_ok() { VerifierLogLevel::VERBOSE | VerifierLogLevel::STATS } else { VerifierLogLevel::STATS };
    let mut e = EbpfLoader::new().verifier_log_level(level).map_max_entries("RINGS", 2).load(&bytes)?;
    let mut outer: ArrayOfMaps<_, MapData> = ArrayOfMaps::try_from(e.map_mut("RINGS").unwrap())?;
    for i in 0..2 {
        let m = MapData::create(aya_obj::Map::new_from_params(27, 0, 0, 8<<20, 0), "hdrcap_ring", None)?;
        outer.set(i, &m, 0)?;
    }
    let x: &mut Xdp = e.program_mut("hdrcap").unwrap().try_into()?;
    x.load()?;
    Ok(e)
}
