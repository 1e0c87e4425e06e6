//! The latest few of what one direction told, the oldest giving way.
//!
//! Invariant: never more than `COUNT`, in no order but that the newest is known.

/// The latest `COUNT` of all that were added.
#[derive(Debug)]
pub(super) struct Latest<T, const COUNT: usize> {
    places: [T; COUNT],
    /// How many there were, less a multiple of `COUNT` once all places are taken: "full" stays distinguishable from "filling".
    count: u8,
}

impl<T: Copy + Default, const COUNT: usize> Default for Latest<T, COUNT> {
    fn default() -> Self {
        Latest { places: [T::default(); COUNT], count: 0 }
    }
}

impl<T, const COUNT: usize> Latest<T, COUNT> {
    const FITS: () = assert!(COUNT.is_power_of_two() && 2 * COUNT < 256);

    /// Adds one, in the place of the oldest where there is no other.
    pub(super) fn add(&mut self, newest: T) {
        const { Self::FITS };
        let count = usize::from(self.count);
        self.places[count % COUNT] = newest;
        let is_round = count + 1 == 2 * COUNT;
        self.count = (if is_round { COUNT } else { count + 1 }) as u8;
    }

    /// Those remembered.
    pub(super) fn all(&self) -> &[T] {
        &self.places[..usize::from(self.count).min(COUNT)]
    }

    /// The one added last.
    pub(super) fn newest_mut(&mut self) -> Option<&mut T> {
        let newest = usize::from(self.count).checked_sub(1)?;
        Some(&mut self.places[newest % COUNT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let mut latest = Latest::<u32, 4>::default();
        assert!(latest.all().is_empty() && latest.newest_mut().is_none());
        let mut naive = Vec::new();
        for nth in 0..100 {
            latest.add(nth);
            naive.push(nth);
            let mut all = latest.all().to_vec();
            all.sort_unstable();
            assert_eq!(all, naive[naive.len().saturating_sub(4)..]);
            assert_eq!(latest.newest_mut().copied(), Some(nth));
        }
    }
}
