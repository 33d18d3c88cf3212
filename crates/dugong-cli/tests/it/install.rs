//! Completions, man pages and the version.

use std::fs;
use std::process::Command;

use crate::support::*;

fn run(args: &[&str]) -> Ran {
    Ran(program(args[0]).args(&args[1..]).output().unwrap())
}

#[test]
fn completions_know_the_commands_and_their_options() {
    for (shell, said) in [("bash", "complete -F _dugong"), ("zsh", "#compdef dugong"), ("fish", "complete -c dugong")] {
        let ran = run(&["completions", shell]).succeeds();
        let script = String::from_utf8(ran.stdout().to_vec()).unwrap();
        for word in [said, "bench", "oauth2-bearer", "warm-up"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run(&["completions", "tcsh"]).exits_with(2).says("possible values: bash, zsh, fish");
    // A shell that is there must understand its script.
    let ran = run(&["completions", "bash"]).succeeds();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("dugong.bash");
    fs::write(&file, ran.stdout()).unwrap();
    let script = format!(
        ". {}; COMP_WORDS=(dugong bench --warm); COMP_CWORD=2; _dugong dugong --warm bench; echo \"$COMPREPLY\"",
        file.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--warm-up\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn each_command_has_a_man_page() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("share/man1");
    run(&["man", directory.to_str().unwrap()]).succeeds();
    let found = names(&directory);
    for page in ["dugong.1", "dugong-get.1", "dugong-head.1", "dugong-bench.1", "dugong-completions.1", "dugong-man.1"] {
        assert!(found.contains(&page.to_owned()), "{found:?}");
    }
    let page = fs::read_to_string(directory.join("dugong-bench.1")).unwrap();
    assert!(page.contains(".TH dugong-bench 1") && page.contains("\\-\\-warm\\-up") && page.contains("Exit status"), "{page}");
    run(&["man", "/dev/null/x"]).exits_with(4).says("cannot write /dev/null/x: ");
}

#[test]
fn the_version_tells_the_features() {
    let ran = run(&["--version"]).succeeds();
    let text = String::from_utf8_lossy(ran.stdout());
    assert!(text.starts_with(concat!("dugong ", env!("CARGO_PKG_VERSION"), "\n")), "{text}");
    for said in ["TLS: 1.2 and 1.3 (rustls)", "socks5", "Bearer"] {
        assert!(text.contains(said), "{text}");
    }
    let short = run(&["-V"]).succeeds();
    assert_eq!(String::from_utf8_lossy(short.stdout()), concat!("dugong ", env!("CARGO_PKG_VERSION"), "\n"));
}
