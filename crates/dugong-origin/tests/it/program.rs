//! The program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::client::Client;

#[test]
fn the_program_prints_its_address_and_ends_with_its_input() {
    let ready = std::env::temp_dir().join(format!("dugong-origin-ready-{}", std::process::id()));
    let mut program = Command::new(env!("CARGO_BIN_EXE_dugong-origin"))
        .args(["--until-stdin-closes", "--delay", "1ms", "--close-after", "2", "--ready-file"])
        .arg(&ready)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(program.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").expect("the address").parse().unwrap();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/small").field("connection"), None);
    assert_eq!(client.get("/small").field("connection"), Some("close"));
    // The file may come after the address was printed, but it must exist when the program has ended.
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&ready).unwrap(), format!("{address}\n"));
    std::fs::remove_file(ready).unwrap();
}

#[test]
fn a_bad_delay_is_refused() {
    for delay in ["5", "ms", "-1s", "1h"] {
        let outcome = Command::new(env!("CARGO_BIN_EXE_dugong-origin")).arg(format!("--delay={delay}")).output().unwrap();
        assert!(!outcome.status.success(), "{delay}");
    }
}
