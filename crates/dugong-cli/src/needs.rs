//! Says which option needs which other one. clap names only the one that is missing.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options that need others, by a part of the name of the missing one.
const NEEDS: &[(&str, &str)] = &[
    ("--force", "--output"),
    ("--skip-existing", "--output"),
    ("--continue", "--output"),
    ("--parts", "--output"),
    ("--if-changed", "--output"),
    ("--max-redirs", "--location"),
    ("--key", "--cert"),
];

/// Returns a sentence if an argument of the command line needs an option that is missing.
pub(crate) fn advice(error: &clap::Error, arguments: impl IntoIterator<Item = String>) -> Option<String> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return None;
    }
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return None };
    let [missing] = &missing[..] else { return None };
    let given: Vec<_> = arguments.into_iter().map(|text| text.split('=').next().unwrap_or_default().to_owned()).collect();
    let (option, _) =
        NEEDS.iter().find(|(option, needed)| missing.contains(needed) && given.iter().any(|text| text == option))?;
    // Alternatives stand in brackets of their own.
    let missing = missing.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(missing);
    Some(format!("{option} needs {missing}; add it, or leave {option} out"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::LowArgs;

    #[test]
    fn a_missing_option_is_named_with_the_one_that_needs_it() {
        for (arguments, said) in [
            (&["get", "http://h/", "--max-redirs=2"][..], "--max-redirs needs --location; add it, or leave --max-redirs out"),
            (&["request", "GET", "http://h/", "--force"], "--force needs --output <NAME>; add it"),
            (&["put", "file", "http://h/", "--key", "k"], "--key needs --cert <FILE>; add it"),
        ] {
            let error = LowArgs::try_parse_from(["dugong"].iter().chain(arguments)).unwrap_err();
            let advice = advice(&error, arguments.iter().map(ToString::to_string)).unwrap();
            assert!(advice.starts_with(said), "{advice}");
        }
        for option in ["--force", "--skip-existing", "--continue", "--parts=2", "--if-changed"] {
            let arguments = ["dugong", "get", "http://h/", option];
            let error = LowArgs::try_parse_from(arguments).unwrap_err();
            let advice = advice(&error, arguments.map(str::to_owned)).unwrap();
            let option = option.split('=').next().unwrap();
            let said = format!("{option} needs --output <NAME>|--dir <DIR>|--remote-name; add it, or leave {option} out");
            assert_eq!(advice, said);
        }
    }
}
