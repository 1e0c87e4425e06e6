//! What parsing and redacting the two heads of a transaction costs: best of many rounds over varied heads.
//!
//! `cargo run --release -p bench --example head_cost`; the input is made here, so a clone alone can run it.

use std::{hint::black_box, time::Instant};

use capture::{
    http::{HeadEnd, Parser},
    redact::{Key, Policy, Redactor},
};

const TRANSACTION_COUNT: usize = 1000;
const ROUND_COUNT: usize = 300;

fn main() {
    let transactions = transactions();
    let bytes: usize = transactions.iter().map(|(request, response)| request.len() + response.len()).sum();
    println!("{} transactions, {} head bytes each", TRANSACTION_COUNT, bytes / TRANSACTION_COUNT);
    measure("end of head", &transactions, |request, response| {
        black_box((HeadEnd::new().advance(request), HeadEnd::new().advance(response)));
    });
    let mut parser = Parser::new();
    measure("parse", &transactions, |request, response| {
        black_box(&parser.request(request, true).expect("a request").flags);
        black_box(&parser.response(response, true).expect("a response").flags);
    });
    for (name, policy) in
        [("parse, redaction off", Policy::off()), ("parse, redaction on", Policy::default())]
    {
        let mut redactor = Redactor::new(policy, Key::from_bytes([7; 32]));
        measure(name, &transactions, |request, response| {
            let head = parser.request(request, true).expect("a request");
            black_box(redactor.request(&head).fields.len());
            let head = parser.response(response, true).expect("a response");
            black_box(redactor.response(&head, &[]).fields.len());
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark owns its clock")]
fn measure(name: &str, transactions: &[(Vec<u8>, Vec<u8>)], mut step: impl FnMut(&[u8], &[u8])) {
    let mut best = f64::MAX;
    for _ in 0..ROUND_COUNT {
        let start = Instant::now();
        for (request, response) in transactions {
            step(black_box(request), black_box(response));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / transactions.len() as f64);
    }
    println!("{name:22} {best:8.0} ns per transaction");
}

/// Deterministic pseudo-random numbers (a 64-bit linear congruential generator's high bits).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn hex(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(b"0123456789abcdef"[self.next() as usize % 16])).collect()
    }
}

fn transactions() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut numbers = Numbers(1);
    (0..TRANSACTION_COUNT)
        .map(|_| (request(&mut numbers).into_bytes(), response(&mut numbers).into_bytes()))
        .collect()
}

fn request(n: &mut Numbers) -> String {
    let mut head = format!(
        "GET /api/v{}/orders/{}?page={}&sort=date HTTP/1.1\r\n",
        n.next() % 3,
        n.next(),
        n.next() % 90
    );
    head += &format!("Host: shop{}.example.com\r\nConnection: keep-alive\r\n", n.next() % 20);
    head += "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\r\n";
    head += "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate\r\n";
    if n.next().is_multiple_of(2) {
        head += "Accept-Language: en-US,en;q=0.7,de;q=0.3\r\n";
    }
    if n.next().is_multiple_of(2) {
        head += "Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n";
    }
    head += &format!("Referer: http://shop.example.com/list/{}?q=shoes\r\n", n.next() % 1000);
    if n.next().is_multiple_of(3) {
        head += &format!("Authorization: Bearer {}\r\n", n.hex(40));
    }
    head += &format!("X-Request-Id: {}\r\n", n.hex(32));
    let count = 1 + n.next() % 4;
    let cookies: Vec<_> = (0..count).map(|at| format!("c{at}={}", n.hex(60))).collect();
    head + &format!("Cookie: {}\r\n\r\n", cookies.join("; "))
}

fn response(n: &mut Numbers) -> String {
    let mut head =
        "HTTP/1.1 200 OK\r\nServer: nginx/1.25.3\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\n".to_owned();
    head += "Content-Type: application/json; charset=utf-8\r\n";
    head += &format!("Content-Length: {}\r\nConnection: keep-alive\r\n", n.next() % 5000);
    head += &format!("Cache-Control: private, max-age={}\r\nVary: Accept-Encoding\r\n", n.next() % 600);
    head += &format!("ETag: \"{}\"\r\nX-Frame-Options: DENY\r\n", n.hex(16));
    head += "Strict-Transport-Security: max-age=63072000; includeSubDomains\r\n";
    if n.next().is_multiple_of(6) {
        head += &format!("Set-Cookie: session={}; Path=/; HttpOnly; SameSite=Lax\r\n", n.hex(48));
    }
    head + "\r\n"
}
