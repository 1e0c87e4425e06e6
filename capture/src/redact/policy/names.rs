//! Exceptions by name, sorted: found by halves, without a copy of the name asked for.

use super::Action;

/// Names and what becomes of their values.
#[derive(Clone, Debug, Default)]
pub(super) struct NameRules(Vec<(Box<[u8]>, Action)>);

impl NameRules {
    /// Adds or replaces a rule. Names that are asked for in any case are given in lower case.
    pub(super) fn insert(&mut self, name: &str, action: Action) {
        match self.0.binary_search_by(|(rule, _)| (**rule).cmp(name.as_bytes())) {
            Ok(at) => self.0[at].1 = action,
            Err(at) => self.0.insert(at, (name.as_bytes().into(), action)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Action> {
        let at = self.0.binary_search_by(|(rule, _)| (**rule).cmp(name)).ok()?;
        Some(self.0[at].1)
    }

    #[inline]
    pub(super) fn get_any_case(&self, name: &[u8]) -> Option<Action> {
        if self.0.is_empty() {
            return None;
        }
        self.find_any_case(name)
    }

    #[cold]
    fn find_any_case(&self, name: &[u8]) -> Option<Action> {
        let lower = || name.iter().map(u8::to_ascii_lowercase);
        let at = self.0.binary_search_by(|(rule, _)| rule.iter().copied().cmp(lower())).ok()?;
        Some(self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        let mut rules = NameRules::default();
        assert!(rules.is_empty() && rules.get_any_case(b"a").is_none());
        for name in ["b", "a", "ab", "z-9", "a"] {
            rules.insert(name, Action::Mask(name.len() as u8));
        }
        for name in ["a", "ab", "b", "z-9"] {
            assert_eq!(rules.get(name.as_bytes()), Some(Action::Mask(name.len() as u8)));
            let upper = name.to_ascii_uppercase();
            assert_eq!(rules.get_any_case(upper.as_bytes()), Some(Action::Mask(name.len() as u8)));
            assert_eq!(rules.get(upper.as_bytes()), None);
        }
        assert_eq!(rules.get_any_case(b"c"), None);
    }
}
