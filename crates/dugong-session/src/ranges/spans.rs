//! A set of bytes, as the ranges that they form.

use super::field::Span;

/// Which bytes are there: ranges in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> {
        self.0.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The number of bytes in the set.
    pub(super) fn covered(&self) -> u64 {
        self.iter().map(Span::len).sum()
    }

    /// The end of the last range.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |last| last.end)
    }

    /// Adds bytes, of which some may be in the set.
    pub(super) fn insert(&mut self, mut span: Span) {
        if span.is_empty() {
            return;
        }
        // The ranges that it overlaps or touches become one with it.
        let from = self.0.partition_point(|other| other.end < span.start);
        let to = self.0.partition_point(|other| other.start <= span.end);
        if from < to {
            span = Span::new(span.start.min(self.0[from].start), span.end.max(self.0[to - 1].end));
        }
        self.0.splice(from..to, [span]);
    }

    /// Removes bytes, of which some may not be in the set.
    pub(super) fn remove(&mut self, span: Span) {
        let kept = self.0.iter().flat_map(|have| [(have.start, have.end.min(span.start)), (have.start.max(span.end), have.end)]);
        self.0 = kept.filter(|(start, end)| start < end).map(|(start, end)| Span::new(start, end)).collect();
    }

    /// The bytes of `within` that are not in the set.
    pub(super) fn gaps(&self, within: Span) -> Spans {
        let mut gaps = Spans(vec![within]);
        gaps.0.retain(|span| !span.is_empty());
        for span in self.iter() {
            gaps.remove(span);
        }
        gaps
    }

    /// Takes the first bytes out of the set, at most `most`.
    pub(super) fn take_first(&mut self, most: u64) -> Option<Span> {
        let first = *self.0.first()?;
        let span = Span::new(first.start, first.end.min(first.start.saturating_add(most)));
        self.remove(span);
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(u64, u64)]) -> Spans {
        Spans(pairs.iter().map(|&(start, end)| Span::new(start, end)).collect())
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut set = Spans::default();
        for (start, end) in [(10, 20), (30, 40), (5, 5), (0, 5)] {
            set.insert(Span::new(start, end));
        }
        assert_eq!(set, spans(&[(0, 5), (10, 20), (30, 40)]));
        set.insert(Span::new(20, 30));
        assert_eq!(set, spans(&[(0, 5), (10, 40)]));
        set.insert(Span::new(3, 50));
        assert_eq!(set, spans(&[(0, 50)]));
        set.insert(Span::new(10, 20));
        assert_eq!(set, spans(&[(0, 50)]));
        assert_eq!((set.covered(), set.end()), (50, 50));
    }

    #[test]
    fn a_removed_range_leaves_its_sides() {
        let mut set = spans(&[(0, 10), (20, 30), (40, 50)]);
        set.remove(Span::new(5, 45));
        assert_eq!(set, spans(&[(0, 5), (45, 50)]));
        set.remove(Span::new(46, 47));
        assert_eq!(set, spans(&[(0, 5), (45, 46), (47, 50)]));
    }

    #[test]
    fn gaps_are_the_missing_ranges() {
        let set = spans(&[(5, 10), (20, 30)]);
        assert_eq!(set.gaps(Span::new(0, 40)), spans(&[(0, 5), (10, 20), (30, 40)]));
        assert_eq!(set.gaps(Span::new(5, 30)), spans(&[(10, 20)]));
        assert!(set.gaps(Span::new(0, 0)).is_empty());
    }

    #[test]
    fn the_first_bytes_are_taken_in_pieces() {
        let mut set = spans(&[(5, 10), (20, 23)]);
        let pieces: Vec<_> = std::iter::from_fn(|| set.take_first(3)).map(|span| (span.start, span.end)).collect();
        assert_eq!(pieces, [(5, 8), (8, 10), (20, 23)]);
    }
}
