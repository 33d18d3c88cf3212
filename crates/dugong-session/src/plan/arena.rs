//! Slots that are used again, with keys that are not.
//!
//! A driver may name a job or a connection that has just ended. Each slot counts its tenants, and a key holds that count, so an old key
//! finds nothing instead of the next tenant.

/// A slot and the number of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    tenant: u32,
}

impl Key {
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Arena { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.1 = Some(value);
            return Key { index, tenant: slot.0 };
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 jobs fit into memory");
        self.slots.push((0, Some(value)));
        Key { index, tenant: 0 }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.index()).filter(|slot| slot.0 == key.tenant)?.1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.index()).filter(|slot| slot.0 == key.tenant)?.1.as_mut()
    }

    /// Removes a value where it is, which costs less than to move it.
    pub(crate) fn discard(&mut self, key: Key) {
        if let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.0 == key.tenant)
            && slot.1.is_some()
        {
            slot.1 = None;
            slot.0 = slot.0.wrapping_add(1);
            self.free.push(key.index);
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index()).filter(|slot| slot.0 == key.tenant)?;
        let value = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, (tenant, value))| {
            // `insert` lets no index beyond a u32 come up.
            Some((Key { index: index as u32, tenant: *tenant }, value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_does_not_find_the_next_tenant() {
        let mut arena = Arena::new();
        let first = arena.insert('a');
        assert_eq!(arena.remove(first), Some('a'));
        let second = arena.insert('b');
        assert_eq!(second.index(), first.index());
        assert_eq!((arena.get(first), arena.get(second)), (None, Some(&'b')));
        assert_eq!((arena.remove(first), arena.len()), (None, 1));
    }
}
