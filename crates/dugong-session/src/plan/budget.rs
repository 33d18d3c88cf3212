//! How many repeats a session can afford: a token bucket, like those of the AWS clients and of tower.
//!
//! If every client repeats each failed request four times, a server that is about to fail gets five times its load. The bucket bounds
//! that: it begins full, a repeat costs a token, and only answers fill it again, a tenth of a token each. A session whose server is
//! dead sends ten repeats and then none.

/// Tokens for repeats. Ten answers earn one.
#[derive(Debug)]
pub(crate) struct Budget {
    /// `None`: no limit.
    capacity: Option<u32>,
    tenths: u32,
}

const ANSWERS_FOR_A_TOKEN: u32 = 10;

impl Budget {
    pub(crate) fn new(capacity: Option<u32>) -> Self {
        Budget { capacity, tenths: capacity.unwrap_or(0).saturating_mul(ANSWERS_FOR_A_TOKEN) }
    }

    /// Adds a tenth of a token, up to the capacity.
    pub(crate) fn note_answer(&mut self) {
        let most = self.capacity.unwrap_or(0).saturating_mul(ANSWERS_FOR_A_TOKEN);
        self.tenths = most.min(self.tenths + 1);
    }

    /// Takes a token. False if none is left.
    pub(crate) fn take(&mut self) -> bool {
        if self.capacity.is_none() {
            return true;
        }
        let enough = self.tenths >= ANSWERS_FOR_A_TOKEN;
        if enough {
            self.tenths -= ANSWERS_FOR_A_TOKEN;
        }
        enough
    }

    /// Whole tokens left; `None` if there is no limit.
    pub(crate) fn left(&self) -> Option<u32> {
        self.capacity.map(|_| self.tenths / ANSWERS_FOR_A_TOKEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_answers_earn_one_repeat() {
        let mut budget = Budget::new(Some(2));
        assert!(budget.take() && budget.take() && !budget.take());
        (0..9).for_each(|_| budget.note_answer());
        assert!(!budget.take());
        budget.note_answer();
        assert!(budget.take() && !budget.take());
    }

    #[test]
    fn the_bucket_does_not_overflow() {
        let mut budget = Budget::new(Some(1));
        (0..1000).for_each(|_| budget.note_answer());
        assert_eq!(budget.left(), Some(1));
    }
}
