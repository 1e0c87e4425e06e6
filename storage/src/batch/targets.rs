//! Codes of what a request target holds, by the code of the target: who has met the target has met its parts.
//!
//! Invariant: only targets in origin form are noted, whose parts follow from the target alone.

use super::{
    codes::successor_of,
    strings::{ABSENT, Intake},
};

/// Codes of path, query and path template.
pub(crate) type PartCodes = [u32; 3];

/// No code is this: the target was not met.
const UNMET: PartCodes = [ABSENT - 1; 3];

/// Part codes by target code.
#[derive(Debug, Default)]
pub(crate) struct Targets(Vec<PartCodes>);

impl Targets {
    /// None yet, and room for as many.
    pub(crate) fn successor(&self) -> Targets {
        Targets(successor_of(&self.0))
    }

    /// The codes of the target's parts, where they are known.
    #[inline]
    pub(crate) fn get(&self, target: u32) -> Option<PartCodes> {
        self.0.get(target as usize).copied().filter(|parts| *parts != UNMET)
    }

    /// Notes the parts of a target, where they follow from it alone.
    pub(crate) fn note(&mut self, (target, text): (u32, &[u8]), parts: PartCodes, intake: &mut Intake) {
        if text.first() != Some(&b'/') {
            return;
        }
        let at = target as usize;
        if at >= self.0.len() {
            intake.bytes += (at + 1 - self.0.len()) * size_of::<PartCodes>();
            self.0.resize(at + 1, UNMET);
        }
        self.0[at] = parts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_noted_of_targets_in_origin_form_is_known() {
        let (mut targets, mut intake) = (Targets::default(), Intake::default());
        targets.note((2, b"/a"), [0, ABSENT, 1], &mut intake);
        targets.note((3, b"http://a/b"), [1, ABSENT, 1], &mut intake);
        let known: Vec<_> = (0..5).map(|target| targets.get(target)).collect();
        assert_eq!(known, [None, None, Some([0, ABSENT, 1]), None, None]);
        assert_eq!(intake.bytes, 3 * size_of::<PartCodes>());
        assert_eq!(targets.successor().get(2), None);
    }
}
