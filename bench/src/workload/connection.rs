//! One connection from handshake to end: transactions made when they are due, and the frames that carry them.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Profile, Summary, Transaction,
    message::{self, Message, Place, Visitor},
    population::Population,
};
use crate::{
    random::Random,
    wire::{self, Path, Segment, Side, flag},
};

const TRANSACTION_COUNT_MAX: usize = 20;

/// A frame and whether it carries payload: only such are disturbed.
pub(super) struct PlannedFrame {
    pub(super) bytes: Vec<u8>,
    pub(super) has_payload: bool,
}

/// A connection in the middle of its life.
pub(super) struct Connection {
    path: Path,
    host: usize,
    visitor: Visitor,
    profile: Profile,
    date: String,
    seqs: [u32; 2],
    ip_ids: [u16; 2],
    transaction_count: usize,
    transactions_done: usize,
    closes_by_server: bool,
    planned: VecDeque<PlannedFrame>,
    random: Random,
}

/// What is told while frames are made.
pub(super) struct Account<'a> {
    pub(super) summary: &'a mut Summary,
    pub(super) transactions: &'a mut VecDeque<Transaction>,
}

impl Connection {
    pub(super) fn new(number: u32, population: &Population, profile: Profile, mut random: Random) -> Self {
        let host_index = population.host_ranks.draw(&mut random);
        let host = &population.hosts[host_index];
        let client_port = random.range(32_768, 61_000) as u16;
        let (client, server) = if random.chance(0.15) {
            let client = 0x2001_0db8_ffff << 80 | u128::from(number) << 48 | u128::from(random.bits32());
            (IpAddr::V6(Ipv6Addr::from_bits(client)), IpAddr::V6(random.pick(&host.v6)))
        } else {
            // 100.64.0.0/10, an address per connection until it is used up.
            let client = 0x6440_0000 | (number & 0x003f_ffff);
            (IpAddr::V4(Ipv4Addr::from_bits(client)), IpAddr::V4(random.pick(&host.v4)))
        };
        let vlan_ids = if random.chance(0.1) { vec![100 + (number % 5) as u16] } else { Vec::new() };
        let path = Path { client: (client, client_port), server: (server, host.port), vlan_ids };
        let visitor = Visitor::new(population, &mut random);
        let (minute, second) = (random.below(60), random.below(60));
        let mut connection = Self {
            path,
            host: host_index,
            visitor,
            profile,
            date: format!("Fri, 21 Aug 2026 10:{minute:02}:{second:02} GMT"),
            seqs: [random.bits32(), random.bits32()],
            ip_ids: [random.bits32() as u16, random.bits32() as u16],
            transaction_count: (1 + random.geometric(6.0 / 7.0)).min(TRANSACTION_COUNT_MAX),
            transactions_done: 0,
            closes_by_server: random.chance(0.02),
            planned: VecDeque::new(),
            random,
        };
        connection.plan_handshake();
        connection
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next frame; `None` after the last.
    pub(super) fn next(
        &mut self,
        population: &Population,
        account: &mut Account<'_>,
    ) -> Option<PlannedFrame> {
        if self.planned.is_empty() && self.transactions_done < self.transaction_count {
            self.plan_transaction(population, account);
            self.transactions_done += 1;
            if self.transactions_done == self.transaction_count {
                self.plan_end();
            }
        }
        self.planned.pop_front()
    }

    fn plan_handshake(&mut self) {
        let [high, low] = (self.path.segment_bytes_max() as u16).to_be_bytes();
        let options = [2, 4, high, low, 1, 3, 3, 7, 4, 2, 0, 0];
        self.plan(Side::Client, flag::SYN, &options, &[]);
        self.plan(Side::Server, flag::SYN | flag::ACK, &options, &[]);
        self.plan(Side::Client, flag::ACK, &[], &[]);
    }

    fn plan_end(&mut self) {
        let end = flag::FIN | flag::ACK;
        if self.closes_by_server {
            self.plan(Side::Server, end, &[], &[]);
            self.plan(Side::Client, flag::ACK, &[], &[]);
            self.plan(Side::Client, end, &[], &[]);
            self.plan(Side::Server, flag::ACK, &[], &[]);
        } else {
            self.plan(Side::Client, end, &[], &[]);
            self.plan(Side::Server, end, &[], &[]);
            self.plan(Side::Client, flag::ACK, &[], &[]);
        }
    }

    fn plan_transaction(&mut self, population: &Population, account: &mut Account<'_>) {
        let host = &population.hosts[self.host];
        let position = (self.transactions_done, self.profile);
        let request = message::request(&self.visitor, host, population, position, &mut self.random);
        let is_last = self.transactions_done + 1 == self.transaction_count;
        let place =
            Place { date: &self.date, profile: self.profile, closes: is_last && self.closes_by_server };
        let parties = (&request, &self.visitor);
        let response = message::response(parties, host, population, place, &mut self.random);
        let transaction = Transaction {
            client_ip: self.path.client.0,
            client_port: self.path.client.1,
            server_ip: self.path.server.0,
            server_port: self.path.server.1,
            vlan_id: self.path.vlan_ids.first().copied(),
            transaction_index: self.transactions_done as u32,
            method: request.method.to_owned(),
            host: host.name.clone(),
            target: request.target,
            status: response.status,
            req_head_bytes: request.message.head.len() as u64,
            resp_head_bytes: response.message.head.len() as u64,
            req_body_bytes: request.message.body.len() as u64,
            resp_body_bytes: response.message.body.len() as u64,
            req_header_count: request.message.header_count,
            resp_header_count: response.message.header_count,
            cookie_bytes: request.cookie_bytes,
        };
        let summary = &mut *account.summary;
        summary.add(&transaction);
        summary.chunked += u64::from(response.is_chunked);
        summary.gzip += u64::from(response.is_gzip);
        summary.close_delimited += u64::from(response.is_close_delimited);
        account.transactions.push_back(transaction);
        summary.req_heads_in_segments += u64::from(self.plan_request(&request.message));
        summary.resp_heads_in_segments += u64::from(self.plan_response(&response.message));
    }

    /// Plans the segments of a request; true where its head needs several.
    fn plan_request(&mut self, message: &Message) -> bool {
        let data = [&message.head[..], &message.body].concat();
        let mut cuts: Vec<_> = (0..data.len()).step_by(self.path.segment_bytes_max()).skip(1).collect();
        if message.head.len() > 100 && self.random.chance(0.02) {
            // A sender that flushes early.
            cuts.push(self.random.range(1, message.head.len()));
            cuts.sort_unstable();
            cuts.dedup();
        }
        self.plan_data(Side::Client, &data, &cuts);
        if self.profile == Profile::Mix {
            self.plan(Side::Server, flag::ACK, &[], &[]);
        }
        cuts.first().is_some_and(|cut| *cut < message.head.len())
    }

    /// Plans the segments of a response; true where its head needs several.
    fn plan_response(&mut self, message: &Message) -> bool {
        let data = [&message.head[..], &message.body].concat();
        let step = self.path.segment_bytes_max();
        let cuts: Vec<_> = if !message.body.is_empty() && self.random.chance(0.5) {
            // The server wrote head and body apart.
            let head = (0..message.head.len()).step_by(step).skip(1);
            head.chain((message.head.len()..data.len()).step_by(step)).collect()
        } else {
            (0..data.len()).step_by(step).skip(1).collect()
        };
        let segment_count = self.plan_data(Side::Server, &data, &cuts);
        let acknowledged = match self.profile {
            Profile::Mix => segment_count % 2 == 1 && self.random.chance(0.7),
            Profile::Heads => self.random.chance(0.1),
        };
        if acknowledged {
            self.plan(Side::Client, flag::ACK, &[], &[]);
        }
        cuts.first().is_some_and(|cut| *cut < message.head.len())
    }

    fn plan_data(&mut self, from: Side, data: &[u8], cuts: &[usize]) -> usize {
        let mut start = 0;
        for (index, end) in cuts.iter().copied().chain([data.len()]).enumerate() {
            let push = if end == data.len() { flag::PSH } else { 0 };
            self.plan(from, flag::ACK | push, &[], &data[start..end]);
            start = end;
            if from == Side::Server && self.profile == Profile::Mix && index % 2 == 1 {
                self.plan(Side::Client, flag::ACK, &[], &[]);
            }
        }
        cuts.len() + 1
    }

    fn plan(&mut self, from: Side, flags: u8, options: &[u8], payload: &[u8]) {
        let (mine, theirs) = (from as usize, from.other() as usize);
        self.ip_ids[mine] = self.ip_ids[mine].wrapping_add(1);
        let (seq, ack, ip_id) = (self.seqs[mine], self.seqs[theirs], self.ip_ids[mine]);
        let segment = Segment { from, seq, ack, flags, options, payload, ip_id };
        let bytes = wire::frame(&self.path, &segment);
        let phantom = u32::from(flags & (flag::SYN | flag::FIN) != 0);
        self.seqs[mine] = seq.wrapping_add(payload.len() as u32 + phantom);
        self.planned.push_back(PlannedFrame { bytes, has_payload: !payload.is_empty() });
    }
}
