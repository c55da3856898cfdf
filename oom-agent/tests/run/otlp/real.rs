//! Real collectors: OpenTelemetry's own (`otelcol`; another path: `OOM_OTELCOL`) and rotel (`pip install rotel`; `OOM_ROTEL`). Says so
//! where they are not installed. What they have received they hand on to the test's own.

use super::{once, told};
use crate::{
    collector::{BOTH, Collector, Protocol},
    restart::{ARGS, stored},
    support::{Cgroup, Daemon, wait_until},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Which.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Otelcol,
    Rotel,
}

/// One that runs, and is stopped and started again at the same ports.
struct Real {
    kind: Kind,
    program: PathBuf,
    dir: PathBuf,
    ports: [u16; 2],
    sink: u16,
    child: Option<Child>,
}

impl Real {
    /// `None`: not installed.
    fn start(kind: Kind, sink: &Collector) -> Option<Self> {
        let (variable, name) = match kind {
            Kind::Otelcol => ("OOM_OTELCOL", "otelcol"),
            Kind::Rotel => ("OOM_ROTEL", "rotel-agent"),
        };
        let program = env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from);
        if Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("not tested: {} is not installed", program.display());
            return None;
        }
        // They cannot be told to take free ports and say which.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let ports = free.each_ref().map(|it| it.local_addr().expect("an address").port());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "{name}-{}-{}",
            std::process::id(),
            ports[0]
        ));
        fs::create_dir_all(&dir).expect("a directory");
        drop(free);
        let mut real = Self { kind, program, dir, ports, sink: sink.address.port(), child: None };
        real.resume();
        Some(real)
    }

    fn url(&self, protocol: Protocol) -> String {
        format!("http://localhost:{}", self.ports[usize::from(protocol == Protocol::Http)])
    }

    fn resume(&mut self) {
        let Self { kind, program, dir, ports: [grpc, http], sink, child } = self;
        let log = File::options().create(true).append(true).open(dir.join("log")).expect("a file");
        let mut command = Command::new(program);
        match kind {
            Kind::Otelcol => {
                let config = dir.join("config.yaml");
                let text = format!(
                    "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, \
                     http: {{endpoint: '127.0.0.1:{http}'}}}}}}}}\n\
                     exporters: {{otlp: {{endpoint: 'localhost:{sink}', compression: none, tls: {{insecure: true}}}}}}\n\
                     service:\n  telemetry: {{metrics: {{level: none}}}}\n  \
                     pipelines: {{logs: {{receivers: [otlp], exporters: [otlp]}}}}\n"
                );
                fs::write(&config, text).expect("a file");
                command.arg("--config").arg(config);
            }
            Kind::Rotel => {
                command.arg("start");
                command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
                command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
                command.args(["--exporter", "otlp", "--otlp-exporter-compression", "none"]);
                command.args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{sink}")]);
                command.arg("--pid-file").arg(dir.join("pid"));
            }
        }
        let out = log.try_clone().expect("a file");
        *child = Some(command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().expect("it was there"));
        for port in [*grpc, *http] {
            wait_until("the collector listens", || {
                let ended = child.as_mut().expect("it runs").try_wait().expect("it can be waited for");
                assert_eq!(ended, None, "{}", fs::read_to_string(dir.join("log")).expect("its log"));
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
        }
    }

    /// As its service manager would: what it has it hands on.
    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// How long the collector is away: some seconds, or what `OOM_OUTAGE` says.
fn outage() -> Duration {
    Duration::from_secs(env::var("OOM_OUTAGE").ok().and_then(|text| text.parse().ok()).unwrap_or(5))
}

fn each_incident_once(kind: Kind) {
    for protocol in BOTH {
        let sink = Collector::start(Protocol::Grpc);
        let Some(mut real) = Real::start(kind, &sink) else { return };
        let url = real.url(protocol);
        let args = [ARGS, &["--otlp-endpoint", &url, "--otlp-protocol", protocol.name()]].concat();
        // Another test may run beside this one.
        let name = format!("{kind:?}-{protocol:?}");
        let (Some(cgroup), Some(mut daemon)) = (Cgroup::make(&name), Daemon::start(&args)) else { return };
        cgroup.fill_and_report();
        wait_until("it has come", || told(&sink, &cgroup).len() == stored(&daemon.state, &cgroup));

        let began = Instant::now();
        real.stop();
        cgroup.fill_and_report();
        wait_until("it waits", || daemon.value("oom_agent_otlp_waiting_incidents") >= Some(1.0));
        let state = daemon.kill();
        // While neither runs.
        cgroup.fill_and_report();
        std::thread::sleep(Duration::from_millis(100));
        let again = Daemon::start_in(state, &args).expect("as before");
        cgroup.fill_and_report();
        std::thread::sleep(outage().saturating_sub(began.elapsed()));
        let away = began.elapsed();
        real.resume();
        daemon = again;
        wait_until("all have come", || {
            daemon.value("oom_agent_otlp_waiting_incidents") == Some(0.0)
                && told(&sink, &cgroup).len() >= stored(&daemon.state, &cgroup)
        });
        // A restart of the agent with nothing to send.
        kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
        let daemon = Daemon::start_in(daemon.kill(), &args).expect("as before");
        cgroup.fill_and_report();
        wait_until("the last has come", || told(&sink, &cgroup).len() >= stored(&daemon.state, &cgroup));
        // What it has it hands on, then there is no more.
        real.stop();
        let ids = told(&sink, &cgroup);
        let expected = stored(&daemon.state, &cgroup);
        assert!(once(&ids) && ids.len() == expected && expected >= 5, "{expected}: {ids:?}");
        let away = away.as_secs();
        eprintln!("{kind:?}, {}: away for {away} s, {expected} incidents came once", protocol.name());
    }
}

#[test]
fn opentelemetrys_own_collector_receives_each_incident_once() {
    each_incident_once(Kind::Otelcol);
}

#[test]
fn rotel_receives_each_incident_once() {
    each_incident_once(Kind::Rotel);
}
