//! One viewer at the control socket: what it asked, what it is told, and how far behind it is.
//!
//! Invariant: what a viewer makes the capture hold is bounded (`REQUEST_BYTES_MAX`, `OUTBOX_BYTES_MAX`, one window).

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    limits::OUTBOX_BYTES_MAX,
    view::{
        filter::Filter,
        protocol::{Answer, Ask, Missed, REQUEST_BYTES_MAX, Request, Top},
        sighting::Sighting,
        vitals::Vitals,
        window::{WINDOW_SECONDS, Window},
    },
};

/// How long a request may take to come.
pub(super) const REQUEST_AGE_MAX: Duration = Duration::from_secs(5);

/// Reads from one viewer in one round: enough for a request.
const READS_MAX: usize = 8;

/// How long a viewer may take nothing while there is something to take.
pub(super) const STALL_AGE_MAX: Duration = Duration::from_secs(5);

/// Between two words to a viewer about the rows it missed.
const MISSED_INTERVAL: Duration = Duration::from_secs(1);

/// Why a viewer is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It closed its end, or was told all it asked for.
    Done,
    /// It asked for something that there is not; it was told.
    Refused,
    /// It does not read what it asked for, or asks for nothing.
    Slow,
}

/// What a viewer wants.
enum Wish {
    /// Not said yet.
    Unknown,
    /// Nothing any more; it goes when it has read the rest.
    Nothing,
    Tail {
        filter: Filter,
        missed: Missed,
        told: Missed,
        told_at: Instant,
        dropped_before: u64,
    },
    Top {
        filter: Filter,
        window: Box<Window>,
        lines: usize,
        every: Duration,
        next: Instant,
    },
}

/// A viewer.
pub(super) struct Viewer {
    stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    wish: Wish,
    /// When it came, or last took something.
    moved_at: Instant,
    is_over: bool,
}

/// What the hub knows when it looks after its viewers.
pub(super) struct Scene<'a> {
    pub(super) now: Instant,
    pub(super) vitals: &'a dyn Fn() -> Arc<Vitals>,
    /// Rows that collectors did not copy, of all time.
    pub(super) dropped: u64,
}

impl Viewer {
    pub(super) fn new(stream: UnixStream, now: Instant) -> Viewer {
        Viewer {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            wish: Wish::Unknown,
            moved_at: now,
            is_over: false,
        }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// True where rows are wanted.
    pub(super) fn is_streaming(&self) -> bool {
        matches!(self.wish, Wish::Tail { .. } | Wish::Top { .. })
    }

    /// True where there is something to take.
    pub(super) fn has_mail(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Reads what came; a request that is complete is answered, or its answers begin.
    pub(super) fn hear(&mut self, scene: &Scene<'_>) -> Result<(), Leave> {
        let mut bytes = [0; 1024];
        // Others want to be heard as well.
        for _ in 0..READS_MAX {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(Leave::Done),
                // Behind its request a viewer has nothing to say.
                Ok(_) if !matches!(self.wish, Wish::Unknown) => {}
                Ok(count) => self.inbox.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Leave::Done),
            }
            let end = self.inbox.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let request = Request::parse(&self.inbox[..end]);
                self.inbox = Vec::new();
                self.begin(request, scene)?;
            } else if self.inbox.len() > REQUEST_BYTES_MAX {
                self.begin(Err(format!("a request takes {REQUEST_BYTES_MAX} bytes at the most")), scene)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, request: Result<Request, String>, scene: &Scene<'_>) -> Result<(), Leave> {
        self.moved_at = scene.now;
        match request {
            Err(reason) => {
                self.say(&Answer::Error(reason.into()));
                self.is_over = true;
                self.wish = Wish::Nothing;
                return Err(Leave::Refused);
            }
            Ok(Request { ask: Ask::Status, .. }) => {
                self.say(&Answer::Status(Box::new(Vitals::clone(&(scene.vitals)()))));
                self.wish = Wish::Nothing;
                self.is_over = true;
            }
            Ok(Request { ask: Ask::Tail, filter, .. }) => {
                let none = Missed::default();
                self.wish = Wish::Tail {
                    filter,
                    missed: none,
                    told: none,
                    told_at: scene.now,
                    dropped_before: scene.dropped,
                };
            }
            Ok(Request { ask: Ask::Top, filter, every_ms, lines, .. }) => {
                let every = Duration::from_millis(every_ms);
                let window = Box::default();
                self.wish = Wish::Top { filter, window, lines, every, next: scene.now };
            }
        }
        Ok(())
    }

    /// Shows it a row; true where it wanted it and there was no room.
    pub(super) fn show(&mut self, seen: &Sighting, line: &mut Option<String>) -> bool {
        match &mut self.wish {
            Wish::Unknown | Wish::Nothing => false,
            Wish::Tail { filter, missed, .. } => {
                if !filter.wants(seen) {
                    return false;
                }
                let line = line.get_or_insert_with(|| {
                    Answer::Row(Box::new(crate::view::protocol::Row::of(seen))).to_line()
                });
                let has_room = self.outbox.len() + line.len() <= OUTBOX_BYTES_MAX;
                if has_room {
                    self.outbox.extend_from_slice(line.as_bytes());
                } else {
                    missed.lines_dropped += 1;
                }
                !has_room
            }
            Wish::Top { filter, window, .. } => {
                if filter.wants(seen) {
                    window.note(seen);
                }
                false
            }
        }
    }

    /// Goes on in time: reports that are due, and words about what was missed.
    pub(super) fn tick(&mut self, second: u64, scene: &Scene<'_>) {
        let due = match &mut self.wish {
            Wish::Unknown | Wish::Nothing => None,
            Wish::Tail { missed, told, told_at, dropped_before, .. } => {
                missed.dropped = scene.dropped.saturating_sub(*dropped_before);
                let is_due = *missed != *told && scene.now.duration_since(*told_at) >= MISSED_INTERVAL;
                is_due.then(|| {
                    (*told, *told_at) = (*missed, scene.now);
                    Answer::Missed(*missed)
                })
            }
            Wish::Top { window, lines, every, next, .. } => {
                window.advance(second);
                (scene.now >= *next).then(|| {
                    *next = scene.now + *every;
                    let (vitals, tables) = (Vitals::clone(&(scene.vitals)()), window.tables(*lines));
                    Answer::Top(Box::new(Top { vitals, window_seconds: WINDOW_SECONDS, tables }))
                })
            }
        };
        if let Some(answer) = due
            && self.outbox.len() < OUTBOX_BYTES_MAX
        {
            self.say(&answer);
        }
    }

    /// Tells it that nothing more comes.
    pub(super) fn end(&mut self, why: &'static str) {
        if let Wish::Tail { missed, told, .. } = self.wish
            && missed != told
        {
            self.say(&Answer::Missed(missed));
        }
        if !matches!(self.wish, Wish::Nothing) {
            self.say(&Answer::End(why.into()));
        }
        self.wish = Wish::Nothing;
        self.is_over = true;
    }

    /// Tells it that it is not let in.
    pub(super) fn refuse(&mut self, why: String) {
        self.say(&Answer::Error(why.into()));
        self.wish = Wish::Nothing;
        self.is_over = true;
    }

    fn say(&mut self, answer: &Answer<'_>) {
        self.outbox.extend_from_slice(answer.to_line().as_bytes());
    }

    /// Hands over what it takes; the error says that it is to go.
    pub(super) fn hand_over(&mut self, now: Instant) -> Result<(), Leave> {
        let mut taken = 0;
        while taken < self.outbox.len() {
            match self.stream.write(&self.outbox[taken..]) {
                Ok(0) => return Err(Leave::Done),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Leave::Done),
            }
        }
        self.outbox.drain(..taken);
        if taken > 0 || (self.outbox.is_empty() && self.is_streaming()) {
            self.moved_at = now;
        }
        let (is_read, waited) = (self.outbox.is_empty(), now.duration_since(self.moved_at));
        if self.is_over && is_read {
            return Err(Leave::Done);
        }
        let waited_max = if matches!(self.wish, Wish::Unknown) { REQUEST_AGE_MAX } else { STALL_AGE_MAX };
        if waited >= waited_max { Err(Leave::Slow) } else { Ok(()) }
    }
}
