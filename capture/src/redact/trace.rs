//! What was done to which part of a head, and why: noted for `hdrcap redact --explain`, not while capturing.
//!
//! Invariant: a note holds places in the redactor's memory, never what was replaced.

use super::{
    policy::Action,
    spans::{Span, Why},
};

/// A part of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// The request's method.
    #[default]
    Method,
    /// The request target.
    Target,
    /// The response's reason phrase.
    Reason,
    /// A field line, by its place.
    Line(usize),
}

/// One thing done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) part: Part,
    pub(super) action: Action,
    pub(super) why: Why,
    /// Where in the redactor's memory the replacement is; without meaning for what was kept.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The notes of one head, where they are wanted.
#[derive(Debug, Default)]
pub(super) struct Trace {
    notes: Option<Vec<Note>>,
    part: Part,
}

impl Trace {
    /// Notes from now on.
    pub(super) fn start(&mut self) {
        self.notes = Some(Vec::new());
    }

    /// True where notes are wanted.
    pub(super) fn is_on(&self) -> bool {
        self.notes.is_some()
    }

    pub(super) fn notes(&self) -> &[Note] {
        self.notes.as_deref().unwrap_or_default()
    }

    /// Forgets the head before.
    pub(super) fn clear(&mut self) {
        if let Some(notes) = &mut self.notes {
            notes.clear();
        }
    }

    /// What follows is done to this part.
    #[inline]
    pub(super) fn begin(&mut self, part: Part) {
        self.part = part;
    }

    pub(super) fn replace(&mut self, span: Span) {
        let Span { start, end, action, why } = span;
        if let Some(notes) = &mut self.notes {
            notes.push(Note { part: self.part, action, why, start, end });
        }
    }

    pub(super) fn keep(&mut self, kept: &[Span]) {
        kept.iter().for_each(|span| self.replace(*span));
    }

    /// The whole value stays by a rule for its field.
    pub(super) fn keep_all(&mut self) {
        self.replace(Span { start: 0, end: 0, action: Action::Keep, why: Why::FieldRule });
    }
}
