//! Makes file names from URLs. A server or a list chooses the URLs, so the names must be harmless in any directory.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use crate::readable::is_visible;

/// The longest name in bytes. Systems allow 255, and the temporary name is longer than the final one.
const MAX_LENGTH: usize = 200;

/// Gives each target a name of its own.
///
/// A list may have millions of names, so this keeps hashes. If two names have one hash, the second gets a number that it does not need.
#[derive(Debug, Default)]
pub(crate) struct Names {
    keys: RandomState,
    taken: HashSet<u64>,
    /// The next number to try for a name that is taken.
    next: HashMap<u64, u64>,
}

impl Names {
    /// Returns a name for the content of `target` (path and query).
    pub(crate) fn name(&mut self, target: &str) -> String {
        let wanted = safe_name(target);
        let hash = self.keys.hash_one(&wanted);
        if self.taken.insert(hash) {
            return wanted;
        }
        let number = self.next.entry(hash).or_insert(1);
        loop {
            let suffix = format!(".{number}");
            *number += 1;
            let name = format!("{}{suffix}", shortened(&wanted, MAX_LENGTH - suffix.len()));
            if self.taken.insert(self.keys.hash_one(&name)) {
                return name;
            }
        }
    }
}

/// Returns the last segment of the path: decoded if the result is harmless, otherwise undecoded with `_` for harmful characters.
fn safe_name(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default();
    let name = match decoded(segment).filter(|name| is_harmless(name)) {
        Some(name) => name,
        None => {
            let mut name: String = segment.chars().map(|c| if is_harmless_char(c) { c } else { '_' }).collect();
            // `.`, `..`, or a hidden file such as `.profile`.
            if name.starts_with('.') {
                name.replace_range(..1, "_");
            }
            name
        }
    };
    if name.is_empty() { "index".to_owned() } else { shortened(&name, MAX_LENGTH).to_owned() }
}

/// Percent-decodes (RFC 3986 §2.1). Returns `None` if a `%` is not followed by two digits, or if the result is not UTF-8.
fn decoded(segment: &str) -> Option<String> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut bytes = segment.bytes();
    let mut out = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn is_harmless(name: &str) -> bool {
    !name.starts_with('.') && name.trim() == name && name.chars().all(is_harmless_char)
}

/// Tells if a character is visible and separates directories on no system.
fn is_harmless_char(c: char) -> bool {
    is_visible(c) && !matches!(c, '/' | '\\')
}

/// Cuts `name` to at most `length` bytes.
fn shortened(name: &str, length: usize) -> &str {
    let end = (0..=length.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_last_segment_made_harmless() {
        for (target, name) in [
            ("/a/b.txt", "b.txt"),
            ("/a/b.txt?x=/../y", "b.txt"),
            ("/a%20b", "a b"),
            ("/%C3%A4", "\u{e4}"),
            ("/", "index"),
            ("//", "index"),
            ("/dir/", "index"),
            ("/?q", "index"),
            ("/..", "_."),
            ("/.", "_"),
            ("/.bashrc", "_bashrc"),
            ("/%2e%2e", "%2e%2e"),
            ("/%2ebashrc", "%2ebashrc"),
            ("/..%2f..%2fetc", "_.%2f..%2fetc"),
            ("/a%2fb", "a%2fb"),
            ("/a%5cb", "a%5cb"),
            ("/a\\b", "a_b"),
            ("/a%00b", "a%00b"),
            ("/a%0ab", "a%0ab"),
            ("/%E2%80%AEgpj.exe", "%E2%80%AEgpj.exe"),
            ("/%20", "%20"),
            ("/%ff", "%ff"),
            ("/100%", "100%"),
            ("/%+5", "%+5"),
        ] {
            assert_eq!(Names::default().name(target), name, "{target}");
        }
    }

    #[test]
    fn names_are_short_and_unique() {
        let mut names = Names::default();
        let long = format!("/{}", "x".repeat(300));
        assert_eq!(names.name(&long), "x".repeat(200));
        assert_eq!(names.name(&long), format!("{}.1", "x".repeat(198)));
        assert_eq!(names.name(&format!("/{}", "%C3%A4".repeat(101))), "\u{e4}".repeat(100));
        assert_eq!(["/a", "/b/a.1", "/c/a", "/a?x"].map(|target| names.name(target)), ["a", "a.1", "a.2", "a.3"]);
    }
}
