//! `dugong-origin`, the program.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use dugong_origin::{Chaos, Config, Faults, Origin, Proxy, Slow, WhenPipelined};

/// An HTTP/1.1 origin server with answers for demos, tests and benchmarks.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Listen on this address; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Send each answer this long after its request, such as 5ms or 1.5s
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration)]
    delay: Duration,
    /// Send one of K answers later, on average
    #[arg(long, value_name = "K", requires = "slow_delay", value_parser = clap::value_parser!(u64).range(1..))]
    slow_one_in: Option<u64>,
    /// Send slow answers this long after their requests
    #[arg(long, value_name = "TIME", requires = "slow_one_in", value_parser = duration)]
    slow_delay: Option<Duration>,
    /// Choose the slow answers by this number
    #[arg(long, value_name = "SEED", default_value = "0", requires = "slow_one_in")]
    slow_seed: u64,
    /// Read nothing while any answer is unsent
    #[arg(long)]
    lockstep: bool,
    /// Close each connection after K responses
    #[arg(long, value_name = "K")]
    close_after: Option<usize>,
    /// With --close-after: close without announcing it
    #[arg(long, requires = "close_after")]
    close_silently: bool,
    /// With --close-after: reset the connection
    #[arg(long, requires = "close_after")]
    close_with_reset: bool,
    /// What to do when a request comes before the previous one is answered
    #[arg(long, value_name = "HABIT", default_value = "answer")]
    when_pipelined: Habit,
    /// Answer correctly, but do one harm to each connection, chosen by this number; other options do not apply
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
    /// Pass bytes on to this server and back, instead of answering; with --chaos, do random harm to each connection
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "record")]
    proxy_to: Option<SocketAddr>,
    /// Serve the files of this directory, as they are now, below /files/
    #[arg(long, value_name = "DIR", conflicts_with_all = ["proxy_to", "chaos"])]
    files: Option<PathBuf>,
    /// With --chaos: when connection N ends, write what it has received to the file N in this directory
    #[arg(long, value_name = "DIR", requires = "chaos")]
    record: Option<PathBuf>,
    /// Write the address to this file once the server listens
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// End when standard input ends, so that the server does not outlive its caller
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Habit {
    /// Answer all requests in order
    Answer,
    /// Close the connection
    Close,
    /// Answer the first request, then stop answering
    Stall,
    /// Stop answering
    Silence,
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dugong-origin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> io::Result<()> {
    if let Some(server) = flags.proxy_to {
        let seed = flags.chaos;
        let proxy = Proxy::start_with(server, move |number| match seed {
            Some(seed) => Faults::random(seed, number),
            None => Faults::default(),
        })?;
        return announce(proxy.address(), &flags);
    }
    if let Some(seed) = flags.chaos {
        let chaos = Chaos::start(seed, flags.record.clone())?;
        return announce(chaos.address(), &flags);
    }
    let mut origin = Origin::start(Config {
        listen: flags.listen,
        delay: flags.delay,
        slow: flags.slow_one_in.zip(flags.slow_delay).map(|(one_in, delay)| Slow { one_in, delay, seed: flags.slow_seed }),
        lockstep: flags.lockstep,
        close_after: flags.close_after,
        close_silently: flags.close_silently,
        close_with_reset: flags.close_with_reset,
        when_pipelined: match flags.when_pipelined {
            Habit::Answer => WhenPipelined::Answer,
            Habit::Close => WhenPipelined::Close,
            Habit::Stall => WhenPipelined::Stall,
            Habit::Silence => WhenPipelined::Silence,
        },
        files: flags.files.clone(),
        ..Config::default()
    })?;
    announce(origin.address(), &flags)?;
    origin.stop();
    Ok(())
}

/// Prints the address, and waits until the server should end.
fn announce(address: SocketAddr, flags: &Flags) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    if let Some(path) = &flags.ready_file {
        // Renaming a complete file keeps readers from seeing half of it.
        let mut aside = path.clone().into_os_string();
        aside.push(".new");
        std::fs::write(&aside, format!("{address}\n"))?;
        std::fs::rename(&aside, path)?;
    }
    if flags.until_stdin_closes {
        let mut stdin = io::stdin();
        while stdin.read(&mut [0; 4096])? != 0 {}
        return Ok(());
    }
    loop {
        // A signal ends the program.
        thread::park();
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => return Err("expected a time such as 5ms or 1.5s".to_owned()),
    };
    let seconds = number.parse::<f64>().map_err(|error| error.to_string())? * unit;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
