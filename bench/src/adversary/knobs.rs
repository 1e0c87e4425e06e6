//! How much of each disturbance a capture gets: probabilities, and a few sizes.

/// Probabilities unless a unit says otherwise. `Knobs::default` is polite traffic, perfectly captured.
#[derive(Clone, Debug, PartialEq)]
pub struct Knobs {
    /// Most connections in one capture (a number).
    pub connection_count_max: usize,
    /// Most transactions on one connection (a number).
    pub transaction_count_max: usize,
    /// Most bytes that random fields make of a head (a number of bytes).
    pub head_bytes_max: usize,
    /// Most bytes of a body (a number of bytes).
    pub body_bytes_max: usize,

    /// Of a connection: IPv6.
    pub ipv6: f64,
    /// Of a connection: one to four VLAN tags.
    pub vlan: f64,
    /// Of a connection: one to four layers of tunnels or labels around it.
    pub wrap_frames: f64,
    /// Of a frame: its outermost packet comes in fragments.
    pub fragment: f64,
    /// Of a direction: its sequence numbers wrap soon.
    pub wrap: f64,
    /// Of a tuple: a second connection follows on it.
    pub reuse_tuple: f64,

    /// Of a direction: cut into segments of one to eight bytes.
    pub tiny_segments: f64,
    /// Of a direction: cut at random.
    pub random_segments: f64,
    /// Of a direction: super-frames of up to 60,000 bytes.
    pub huge_segments: f64,
    /// Of a message: it shares its first segment with what is before it.
    pub coalesce: f64,
    /// Of a segment: its receiver acknowledges it at once, by itself.
    pub bare_ack: f64,

    /// Of a transaction: the next request is sent without waiting for its response.
    pub pipeline: f64,
    /// Of a transaction: one to three interim responses come first.
    pub interim: f64,
    /// Of a request with a body: the final response comes before the body.
    pub early_response: f64,
    /// Of a body: it contains a start line where a segment begins.
    pub lying_body: f64,
    /// Of a connection: it ends by CONNECT or an upgrade, and tunnels something else.
    pub tunnel: f64,
    /// Of a connection: its last body ends with it.
    pub close_delimited: f64,
    /// Of a connection: it is reset in the middle of something.
    pub reset: f64,

    /// Of a segment with payload: it was lost before the mirror and comes again, perhaps in other pieces.
    pub retransmit_lost: f64,
    /// Of a segment with payload: bytes of it come again, with other boundaries.
    pub retransmit: f64,
    /// Of a segment with payload: it begins with bytes that went before.
    pub overlap: f64,
    /// Of a segment with payload: bytes of it come again with other content.
    pub conflict: f64,
    /// Of a segment: a keep-alive probe follows it.
    pub keep_alive: f64,

    /// Of a frame: it comes up to `reorder_distance_max` frames later.
    pub reorder: f64,
    /// Most frames that a late frame lets pass (a number).
    pub reorder_distance_max: usize,
    /// Of a frame: the mirror sends it twice.
    pub duplicate: f64,
    /// Of a frame: the mirror drops it.
    pub lose: f64,
    /// Of a connection: the capture begins after it.
    pub mid_stream: f64,
    /// Of a connection: the capture ends before it.
    pub cut_off: f64,
    /// Of a connection: one direction is not mirrored.
    pub one_way: f64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            connection_count_max: 4,
            transaction_count_max: 6,
            head_bytes_max: 3_000,
            body_bytes_max: 8_000,
            ipv6: 0.2,
            vlan: 0.2,
            wrap_frames: 0.0,
            fragment: 0.0,
            wrap: 0.0,
            reuse_tuple: 0.0,
            tiny_segments: 0.0,
            random_segments: 0.0,
            huge_segments: 0.0,
            coalesce: 0.0,
            bare_ack: 0.3,
            pipeline: 0.0,
            interim: 0.0,
            early_response: 0.0,
            lying_body: 0.0,
            tunnel: 0.0,
            close_delimited: 0.2,
            reset: 0.0,
            retransmit_lost: 0.0,
            retransmit: 0.0,
            overlap: 0.0,
            conflict: 0.0,
            keep_alive: 0.0,
            reorder: 0.0,
            reorder_distance_max: 4,
            duplicate: 0.0,
            lose: 0.0,
            mid_stream: 0.0,
            cut_off: 0.0,
            one_way: 0.0,
        }
    }
}

impl Knobs {
    /// Senders that do all they may, captured whole: rows must equal the truth.
    pub fn wild() -> Self {
        Self {
            wrap: 0.3,
            reuse_tuple: 0.2,
            tiny_segments: 0.1,
            random_segments: 0.4,
            huge_segments: 0.1,
            coalesce: 0.3,
            pipeline: 0.3,
            interim: 0.2,
            early_response: 0.2,
            lying_body: 0.2,
            tunnel: 0.1,
            reset: 0.1,
            retransmit_lost: 0.05,
            retransmit: 0.1,
            overlap: 0.1,
            conflict: 0.05,
            keep_alive: 0.05,
            reorder: 0.1,
            duplicate: 0.1,
            ..Self::default()
        }
    }

    /// The same by a mirror that drops this share of frames and sees some connections in part only.
    pub fn lossy(lose: f64) -> Self {
        Self { lose, mid_stream: 0.2, cut_off: 0.2, one_way: 0.1, ..Self::wild() }
    }
}
