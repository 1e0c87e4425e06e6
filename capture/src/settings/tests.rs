//! Command lines as people type them: what each means, or what it is answered.

use clap::CommandFactory as _;
use storage::retention::KeepFree;

use super::*;

fn environment() -> Environment {
    Environment {
        is_root: true,
        host_name: Some("probe-7.example.com".to_owned()),
        home: Some("/home/ada".into()),
        ..Environment::default()
    }
}

fn parse_line(line: &str) -> Result<Job, clap::Error> {
    parse(format!("hdrcap {line}").split_whitespace().map(str::to_owned), &environment())
}

fn capture(line: &str) -> Settings {
    match parse_line(line) {
        Ok(Job::Capture(settings)) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn live(line: &str) -> LiveSettings {
    match capture(line).source {
        Source::Live(live) => live,
        Source::Pcap(files) => panic!("{line}: {files:?}"),
    }
}

#[test]
fn the_command_is_sound() {
    args::Args::command().debug_assert();
}

#[test]
fn two_words_are_enough() {
    assert_eq!(
        capture("--iface eth1 --out /data"),
        Settings {
            source: Source::Live(LiveSettings {
                ifaces: vec!["eth1".to_owned()],
                action: ActionChoice::Auto,
                xdp_mode: XdpModeChoice::Auto,
                promiscuous: true,
                steer: SteerChoice::Auto,
                ring_bytes: 64 << 20,
                stop: StopChoice::Signal,
            }),
            filter: FilterSettings {
                ports: PortSet::default(),
                nets: Vec::new(),
                vxlan_ports: VxlanPorts::default(),
                sampling: Sampling::Fixed(1),
            },
            head_bytes_max: 16 * 1024,
            collectors: CollectorCount::Auto,
            storage: StorageSettings {
                folder: "/data".into(),
                flush_interval: Duration::from_secs(5),
                file_bytes_max: 256 << 20,
                file_age_max: Duration::from_secs(5),
                zstd_level: 1,
                keep: Keep::default(),
                compacts: false,
                encryption_keys: None,
                upload: None,
            },
            redact: RedactSettings::Tokens {
                key_file: "/var/lib/hdrcap/redaction.key".into(),
                policy_file: None,
            },
            identity: IdentitySettings::default(),
            report: ReportSettings {
                json: false,
                quiet: false,
                stats_interval: Duration::from_secs(10),
                log_format: LogFormat::Text,
                metrics: Vec::new(),
                health: HealthSettings { loss_share_max: 0.01, lag_max: Duration::from_secs(30) },
            },
            control: ControlSettings::Usual {
                path: "/run/hdrcap/probe-7.example.com.sock".into(),
                group: None,
            },
            sensor: "probe-7.example.com".to_owned(),
        }
    );
}

#[test]
fn a_capture_is_watched_where_it_is_told() {
    let control = |line: &str| capture(line).control;
    let at = |path: &str, group: Option<&str>| ControlSettings::At {
        path: path.into(),
        group: group.map(str::to_owned),
    };
    assert_eq!(control("-i eth1 -o d --control off"), ControlSettings::Off);
    assert_eq!(control("-i eth1 -o d --control /s --control-group ops"), at("/s", Some("ops")));
    assert_eq!(control("--pcap a -o d"), ControlSettings::Off);
    assert_eq!(control("--pcap a -o d --control /s"), at("/s", None));
    assert!(parse_line("-i eth1 -o d --control off --control-group ops").is_err());
}

#[test]
fn viewers_say_what_they_want() {
    let Ok(Job::Tail(tail)) = parse_line(
        "tail --control /s --host a* --path /api/* --method GET --status 404,5xx --client 10.0.0.0/8 \
         --slower-than 200ms -n 5 --duration 10s --json",
    ) else {
        panic!("a tail is asked for")
    };
    assert_eq!(tail.control, crate::view::tail::ControlChoice::At("/s".into()));
    assert_eq!(tail.filter.slower_than_us, Some(200_000));
    assert_eq!((tail.count, tail.duration, tail.json), (Some(5), Some(Duration::from_secs(10)), true));
    assert!(tail.filter.host.is_some() && tail.filter.path.is_some() && tail.filter.client.is_some());
    let Ok(Job::Top(top)) = parse_line("top --once --json --every 500ms --status 5xx") else {
        panic!("a top is asked for")
    };
    assert!(top.once && top.json && top.filter.status.is_some());
    for wrong in
        ["top --json", "top --every 1ms", "tail --status 6x", "tail -n 0", "tail --host ", "top --out d"]
    {
        assert!(parse_line(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_option_reaches_its_place() {
    let live_line = "-i eth1 --iface eth2,eth3 -o d --action drop --xdp-mode native --no-promisc --steer hash \
                     --ring-bytes 1MiB --duration 10s";
    assert_eq!(
        live(live_line),
        LiveSettings {
            ifaces: ["eth1", "eth2", "eth3"].map(str::to_owned).to_vec(),
            action: ActionChoice::Drop,
            xdp_mode: XdpModeChoice::Native,
            promiscuous: false,
            steer: SteerChoice::Hash,
            ring_bytes: 1 << 20,
            stop: StopChoice::After(Duration::from_secs(10)),
        }
    );
    let settings = capture(
        "--pcap a.pcap - --out d --port 80 --port 8080-8090 --net 10.0.0.0/8 --net ::1 --sample 1/10 --head-limit 64k \
         --collectors 2 --flush-interval 500ms --file-bytes 1g --file-age 1h --zstd-level 9 --keep 30d \
         --keep-bytes 2TB --keep-free 10% --compact --upload s3://heads/lan --upload-endpoint https://minio:9000 --sensor s1 --key-file /k \
         --redact-policy p.toml --json -q --stats-interval 1s --log-format json \
         --metrics 9108,unix:/m --health-loss 0.5% --health-lag 1m",
    );
    assert_eq!(settings.source, Source::Pcap(vec!["a.pcap".into(), "-".into()]));
    assert_eq!(settings.filter.ports.ranges().len(), 2);
    assert_eq!(
        settings.filter.nets.iter().map(Net::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert_eq!((settings.filter.sampling, settings.head_bytes_max), (Sampling::Fixed(10), 64 * 1024));
    assert_eq!((settings.collectors, settings.sensor.as_str()), (CollectorCount::Exactly(2), "s1"));
    let folder = "d".into();
    let (flush_interval, file_age_max) = (Duration::from_millis(500), Duration::from_secs(3600));
    let age = Some(Duration::from_secs(30 * 86_400));
    let keep = Keep { age, bytes: Some(2_000_000_000_000), free: Some(KeepFree::Percent(10)) };
    let storage = StorageSettings {
        folder,
        flush_interval,
        file_bytes_max: 1 << 30,
        file_age_max,
        zstd_level: 9,
        keep,
        compacts: true,
        encryption_keys: None,
        upload: Some(UploadSettings {
            target: "s3://heads/lan".parse().unwrap(),
            endpoint: Some("https://minio:9000".to_owned()),
        }),
    };
    assert_eq!(settings.storage, storage);
    let redact = RedactSettings::Tokens { key_file: "/k".into(), policy_file: Some("p.toml".into()) };
    assert_eq!(settings.redact, redact);
    let stats_interval = Duration::from_secs(1);
    let metrics = ["127.0.0.1:9108", "unix:/m"].map(|address| address.parse().unwrap()).to_vec();
    let health = HealthSettings { loss_share_max: 0.005, lag_max: Duration::from_secs(60) };
    let log_format = LogFormat::Json;
    let report = ReportSettings { json: true, quiet: true, stats_interval, log_format, metrics, health };
    assert_eq!(settings.report, report);
    assert_eq!(capture("-r a -o d --redact off").redact, RedactSettings::Off);
    let encrypted = capture("-r a -o d --encryption-keys /e").storage.encryption_keys;
    assert_eq!(encrypted, Some("/e".into()));
    assert!(parse_line("-r a -o d --encryption-keys /e --compact").is_err(), "their rows would lie in clear");
}

#[test]
fn a_row_may_wait_for_its_flush_interval() {
    let lag_max = |line: &str| capture(line).report.health.lag_max;
    assert_eq!(lag_max("-r a -o d"), Duration::from_secs(30));
    assert_eq!(lag_max("-r a -o d --flush-interval 1m"), Duration::from_secs(180));
    assert_eq!(lag_max("-r a -o d --flush-interval 1m --health-lag 5s"), Duration::from_secs(5));
}

#[test]
fn subcommands_stand_alone() {
    assert_eq!(
        parse_line("recover /data").unwrap(),
        Job::Recover { dir: "/data".into(), encryption_keys: None }
    );
    let heads = vec!["00ff".to_owned()];
    assert_eq!(
        parse_line("verify /data --head 00ff").unwrap(),
        Job::Verify { dir: "/data".into(), heads, encryption_keys: None }
    );
    assert_eq!(
        parse_line("doctor --iface eth1").unwrap(),
        Job::Doctor { ifaces: vec!["eth1".to_owned()], security: false }
    );
    assert_eq!(parse_line("doctor --security").unwrap(), Job::Doctor { ifaces: Vec::new(), security: true });
    let example = RedactJob { explains: true, policy_file: Some("p.toml".into()), key_file: None };
    assert_eq!(parse_line("redact --explain --policy p.toml").unwrap(), Job::Redact(example));
    assert_eq!(parse_line("key id --key-file k").unwrap(), Job::KeyId("k".into()));
    assert_eq!(parse_line("key rotate").unwrap(), Job::KeyRotate("/var/lib/hdrcap/redaction.key".into()));
    let first = |columns: &[&str]| NewKeys::First(columns.iter().map(|name| (*name).to_owned()).collect());
    for (line, keys) in [
        ("key encryption k", first(&[])),
        ("key encryption k --columns host,cookie", first(&["host", "cookie"])),
        ("key encryption k --rotate", NewKeys::Next),
    ] {
        assert_eq!(parse_line(line).unwrap(), Job::KeyEncryption { file: "k".into(), keys });
    }
    assert!(parse_line("key encryption k --rotate --columns host").is_err());
    assert!(parse_line("--iface eth1 recover /data").is_err());
}

#[test]
fn the_key_has_a_home_outside_the_dataset() {
    let line = || "hdrcap -r a -o d".split(' ').map(str::to_owned);
    let key = |environment: &Environment| match parse(line(), environment) {
        Ok(Job::Capture(settings)) => match settings.redact {
            RedactSettings::Tokens { key_file, .. } => key_file.display().to_string(),
            RedactSettings::Off => panic!("redaction is on by default"),
        },
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.to_string().lines().next().unwrap().to_owned(),
    };
    let user = Environment { is_root: false, ..environment() };
    assert_eq!(key(&user), "/home/ada/.local/share/hdrcap/redaction.key");
    let xdg = Environment { data_home: Some("/xdg".into()), ..user.clone() };
    assert_eq!(key(&xdg), "/xdg/hdrcap/redaction.key");
    let service = Environment { state_directory: Some("/var/lib/private/x".into()), ..xdg };
    assert_eq!(key(&service), "/var/lib/private/x/redaction.key");
    let homeless = Environment { home: None, ..user };
    let expected = "error: no place for the key of redaction, as HOME is not set: give --key-file PATH";
    assert_eq!(key(&homeless), expected);
}

#[test]
fn a_strange_host_name_becomes_a_sensor_name() {
    for (host, sensor) in [(Some("-my host/7"), "myhost7"), (Some("ü"), "hdrcap"), (None, "hdrcap")] {
        let environment = Environment { host_name: host.map(str::to_owned), ..environment() };
        match parse(["hdrcap", "-r", "a", "-o", "d"], &environment) {
            Ok(Job::Capture(settings)) => assert_eq!(settings.sensor, sensor),
            other => panic!("{other:?}"),
        }
    }
}

fn assert_refused(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let error = parse_line(line).expect_err(line);
        let message = error.to_string();
        assert_eq!(message.lines().next(), Some(format!("error: {expected}").as_str()), "{line}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    assert_refused(&[
        ("", "nothing to capture from: give --iface IF for an interface or --pcap FILE for capture files"),
        ("--iface eth1", "no folder to write to: give --out DIR"),
        ("-i e -r f -o d", "--iface and --pcap do not go together: start one process for each"),
        ("-r - - -o d", "--pcap - can be read once only: give - once"),
        ("-r f -o d --steer cpu", "--steer is for --iface only: leave it out with --pcap"),
        ("-r f -o d --duration 5s", "--duration is for --iface only: leave it out with --pcap"),
        ("-i e -i e -o d", "--iface e is given twice"),
        (
            "-i e -o d --flush-interval 10m --file-age 1m",
            "--file-age is shorter than --flush-interval: a file would end before its first flush",
        ),
        (
            "-i e -o d --redact off --key-file k",
            "--key-file is without effect where --redact is off: leave one of them out",
        ),
        (
            "-i e -o d --redact off --redact-policy p",
            "--redact-policy is without effect where --redact is off: leave one of them out",
        ),
    ]);
}

#[test]
fn bad_filters_are_told_which_part_and_what_is_accepted() {
    let ports = "expected ports 1 to 65535 and ranges of them, such as 80,8080-8090";
    for (given, why) in [
        ("80,9x", "'9x' is not a port"),
        ("80,", "a part between commas is empty"),
        ("90-80", "'90-80' runs backwards"),
        ("0", "'0' is not a port"),
        ("65536", "'65536' is not a port"),
    ] {
        let expected = format!("invalid value '{given}' for '--port <PORTS>': {why}; {ports}");
        assert_refused(&[(&format!("-i e -o d -p {given}"), &expected)]);
    }
    let many_nets = (0..17).map(|i| format!("--net 10.{i}.0.0/16 ")).collect::<String>();
    assert_refused(&[
        (
            "-i e -o d --net 10.0.0.1/8",
            "invalid value '10.0.0.1/8' for '--net <CIDR>': 10.0.0.1 has bits behind the first 8; did you mean \
             10.0.0.0/8?",
        ),
        (
            "-i e -o d --net web",
            "invalid value 'web' for '--net <CIDR>': 'web' is not an IP address; expected a network such as \
             10.0.0.0/8, 2001:db8::/32, or one address",
        ),
        (&format!("-i e -o d {many_nets}"), "17 networks, of which the filter holds 16: join some"),
        (
            "--pcap a.pcap -o d --sample auto",
            "--sample auto follows the rings of a live capture: give 1/N with --pcap",
        ),
        (
            "-i e -o d --sample 2/3",
            "invalid value '2/3' for '--sample <1/N|auto>': '2/3' is not a share; expected 1/N, such as 1/10 for one \
             connection in ten",
        ),
    ]);
}

#[test]
fn sampling_may_follow_the_load() {
    assert_eq!(capture("-i e -o d --sample auto").filter.sampling, Sampling::Auto);
}

#[test]
fn bad_values_are_told_the_range() {
    assert_refused(&[
        ("-i a/b -o d", "--iface 'a/b' cannot be the name of an interface: see ip -brief link"),
        ("-i e -o d --head-limit 1", "--head-limit 1 is out of range: take 1024 to 65536"),
        ("-i e -o d --head-limit 65k", "--head-limit 66560 is out of range: take 1024 to 65536"),
        ("-i e -o d --collectors 0", "--collectors 0 is out of range: take 1 to 1024"),
        (
            "-i e -o d --ring-bytes 3MiB",
            "--ring-bytes 3145728 is not a power of two: take 2097152 or 4194304",
        ),
        ("-i e -o d --ring-bytes 4k", "--ring-bytes 4096 is out of range: take 65536 to 536870912"),
        (
            "-i e -o d --flush-interval 10",
            "invalid value '10' for '--flush-interval <TIME>': '10' has no unit; expected a time such as 500ms, 10s, \
             5m, 12h, or 30d",
        ),
        (
            "-i e -o d --file-bytes 1x",
            "invalid value '1x' for '--file-bytes <SIZE>': 'x' is not a unit of size; expected a size such as 4096, \
             16k, 256MiB, or 2TB (k, M, G, T count in 1024s as KiB does; kB, MB, GB, TB in 1000s)",
        ),
        (
            "-i e -o d --sensor a/b",
            "--sensor 'a/b' cannot be part of a file name: take at most 64 letters, digits, dots, dashes or \
             underscores, a letter or digit first",
        ),
    ]);
}

#[test]
fn help_names_every_option_once() {
    let help = parse_line("--help").unwrap_err();
    assert_eq!(help.exit_code(), 0);
    let help = help.to_string();
    for heading in ["Source:", "Filter:", "Live capture:", "Storage:", "Secrets:", "Report:", "Examples:"] {
        assert_eq!(help.matches(heading).count(), 1, "{heading} in\n{help}");
    }
    for argument in args::Args::command().get_arguments() {
        let long = format!("--{}", argument.get_long().unwrap());
        let lines = help.lines().filter(|line| {
            line.trim_start().starts_with('-') && line.split([' ', ',']).any(|word| word == long)
        });
        assert_eq!(lines.count(), 1, "{long} in\n{help}");
    }
}
