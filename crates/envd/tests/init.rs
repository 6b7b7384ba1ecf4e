//! `/init`, tokens, connections, and the small routes, against the real agent.

mod support;

use std::io::{BufReader, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use support::http::{connect, read_head, send_head};
use support::{Envd, Setup, json};

const ENTROPY_BYTES: [u8; 64] = [7; 64];

fn entropy(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn health_needs_nothing() {
    let envd = Envd::boot();
    envd.init(json!({ "accessToken": "t" }));
    let health = envd.get("/health", &[]);
    assert_eq!(
        (
            health.status,
            health.header("cache-control"),
            health.body.len()
        ),
        (204, Some("no-store"), 0)
    );
}

#[test]
fn init_makes_the_sandbox_what_it_is() {
    let envd = Envd::boot();
    envd.init(json!({
        "hostname": "sb1", "machineId": "0123456789abcdef0123456789abcdef", "entropy": entropy(&ENTROPY_BYTES), "envVars": { "A": "1" },
        "accessToken": "t1", "defaultUser": "root", "defaultWorkdir": "/usr", "lifecycleID": "one", "sandboxId": "sb1", "templateId": "tpl1",
        "hyperloopIP": "1.2.3.4", "unknown": { "x": 1 },
    }));
    let token = [("x-access-token", "t1")];
    let script = "hostname; cat /etc/hostname /etc/machine-id; getent ahostsv4 sb1 | awk 'NR == 1 {print $1}'; id -un; pwd; echo $A; cat /run/e2b/.E2B_SANDBOX_ID";
    let ran = envd
        .stream(
            "process.Process/Start",
            &token,
            &support::rpc::shell(script),
        )
        .finish();
    assert_eq!(
        ran.out(),
        "sb1\nsb1\n0123456789abcdef0123456789abcdef\n127.0.1.1\nroot\n/usr\n1\nsb1"
    );
    assert_eq!(envd.get("/envs", &token).json(), json!({ "A": "1" }));
    // What is absent stays; what is there is replaced as a whole.
    envd.init(json!({ "envVars": { "B": "2" }, "hostname": "sb2" }));
    assert_eq!(envd.get("/envs", &token).json(), json!({ "B": "2" }));
    let hosts = envd.get("/files?path=/etc/hosts", &token).text();
    assert!(
        hosts.contains("127.0.1.1\tsb2") && !hosts.contains("sb1"),
        "{hosts}"
    );
}

#[test]
fn init_refuses_nonsense_and_changes_nothing() {
    let envd = Envd::boot();
    for body in [
        json!({ "timestamp": "yesterday" }),
        json!({ "machineId": "xyz" }),
        json!({ "hostname": "a b" }),
        json!({ "entropy": entropy(&[1; 31]) }),
        json!({ "entropy": entropy(&[1; 513]) }),
        json!({ "entropy": "*" }),
        json!({ "envVars": { "A": 1 } }),
        json!({ "envVars": { "A\0": "1" } }),
        json!({ "envVars": { "A=B": "1" } }),
        json!({ "envVars": { "": "1" } }),
        json!({ "defaultWorkdir": "work" }),
    ] {
        let body = [
            body.to_string().trim_end_matches('}').as_bytes(),
            br#","accessToken":"t"}"#,
        ]
        .concat();
        let refused = envd.post("/init", &[], &body);
        assert_eq!(
            (refused.status, refused.json()["code"].as_u64()),
            (400, Some(400)),
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
    assert_eq!(envd.post("/init", &[], b"[]").status, 400);
    let token = br#"{"accessToken":"a\nb"}"#;
    assert_eq!(envd.post("/init", &[], token).status, 400);
    assert_eq!(envd.post("/init", &[], &vec![b' '; 2 << 20]).status, 413);
    // No token was set on the way.
    assert_eq!(envd.get("/envs", &[]).status, 200);
}

#[test]
fn init_sets_the_clock() {
    // The clock is the whole machine's: it is set to what it is, and then without the right to.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let date = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}.{:09}", now.as_secs(), now.subsec_nanos()),
            "+%Y-%m-%dT%H:%M:%S.%NZ",
        ])
        .output()
        .expect("date");
    let text = String::from_utf8(date.stdout)
        .expect("digits")
        .trim()
        .to_owned();
    let envd = Envd::boot();
    envd.init(json!({ "timestamp": text }));
    assert!(now.elapsed_since_epoch() < 60);
    let powerless = Envd::boot_with(Setup {
        privileges: vec!["--bounding-set", "-sys_time", "--inh-caps", "-sys_time"],
        ..Setup::default()
    });
    let refused = powerless.post(
        "/init",
        &[],
        json!({ "timestamp": text }).to_string().as_bytes(),
    );
    assert_eq!(
        (refused.status, refused.json()["message"].as_str()),
        (403, Some("Cannot set the clock: Operation not permitted"))
    );
}

trait SinceEpoch {
    fn elapsed_since_epoch(&self) -> u64;
}

impl SinceEpoch for std::time::Duration {
    /// Seconds between this time since 1970 and now.
    fn elapsed_since_epoch(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .abs_diff(*self)
            .as_secs()
    }
}

#[test]
fn entropy_is_credited() {
    let envd = Envd::boot();
    let body = json!({ "entropy": entropy(&ENTROPY_BYTES) });
    envd.init(body.clone());
    // With something else in the device's place it is an error: the bytes really go to the kernel.
    let root = [("authorization", "Basic cm9vdDo=")];
    let script = "mount --bind /dev/null /dev/urandom";
    envd.stream("process.Process/Start", &root, &support::rpc::shell(script))
        .finish();
    let refused = envd.post("/init", &[], body.to_string().as_bytes());
    assert_eq!(refused.status, 500);
    assert!(
        refused.text().contains("Cannot add entropy"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_token_guards_all_but_the_open_routes() {
    let envd = Envd::boot();
    assert_eq!(envd.get("/envs", &[]).status, 200);
    envd.init(json!({ "accessToken": "t1", "lifecycleID": "one" }));
    let message =
        "unauthorized access, please provide a valid access token or method signing if supported";
    for refused in [
        envd.get("/envs", &[]),
        envd.get("/metrics", &[("x-access-token", "t2")]),
        envd.call_raw("process.Process/List", &[], &json!({})),
        envd.call_raw(
            "filesystem.Filesystem/Stat",
            &[("x-access-token", "")],
            &json!({ "path": "/" }),
        ),
        envd.post("/fsfreeze", &[], b""),
        envd.get("/nowhere", &[]),
    ] {
        assert_eq!(
            (refused.status, refused.json()),
            (401, json!({ "code": 401, "message": message }))
        );
    }
    assert_eq!(
        envd.call_raw(
            "process.Process/List",
            &[("x-access-token", "t1")],
            &json!({})
        )
        .status,
        200
    );
    assert_eq!(
        envd.get("/nowhere", &[("x-access-token", "t1")]).status,
        404
    );
    // The same incarnation keeps its token; the next one may have another.
    envd.init(json!({ "accessToken": "t1", "lifecycleID": "one" }));
    assert_eq!(
        envd.post(
            "/init",
            &[],
            json!({ "accessToken": "t2", "lifecycleID": "one" })
                .to_string()
                .as_bytes()
        )
        .status,
        409
    );
    envd.init(json!({ "accessToken": "t2", "lifecycleID": "two" }));
    assert_eq!(envd.get("/envs", &[("x-access-token", "t1")]).status, 401);
    assert_eq!(envd.get("/envs", &[("x-access-token", "t2")]).status, 200);
}

#[test]
fn init_closes_the_connections_from_before() {
    let envd = Envd::boot();
    let mut idle = connect(envd.port);
    send_head(&mut idle, "GET", "/health", &[], Some(0));
    let mut idle = BufReader::new(idle);
    assert_eq!(read_head(&mut idle).0, 204);
    let mut silent = connect(envd.port);
    let mut stream = envd.start(support::rpc::shell(
        "sleep 0.5; echo on > /tmp/mark; sleep 100",
    ));
    let pid = stream.pid();
    let mut upload = connect(envd.port);
    send_head(
        &mut upload,
        "POST",
        "/files?path=u",
        &[("content-type", "application/octet-stream")],
        Some(10),
    );
    // Each of them is known to the agent before the hook runs.
    assert!(support::wait_for(|| envd.open_files() >= 12));

    let mut own = connect(envd.port);
    send_head(&mut own, "POST", "/init", &[], Some(2));
    std::io::Write::write_all(&mut own, b"{}").expect("sent");
    let mut own = BufReader::new(own);
    assert_eq!(read_head(&mut own).0, 204);
    let mut rest = [0; 1];
    for (name, ended) in [
        ("idle", idle.read(&mut rest)),
        ("silent", silent.read(&mut rest)),
        ("upload", upload.read(&mut rest)),
    ] {
        assert!(
            matches!(ended, Ok(0))
                || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{name}"
        );
    }
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stream.finish())).is_err(),
        "a stream ends without its end frame"
    );
    // The hook's own connection goes on, and so does the process.
    send_head(own.get_mut(), "GET", "/health", &[], Some(0));
    assert_eq!(read_head(&mut own).0, 204);
    assert!(support::wait_for(|| envd
        .get("/files?path=/tmp/mark", &[])
        .status
        == 200));
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"][0]["pid"].as_u64(),
        Some(pid)
    );
}

#[test]
fn strangers_are_not_answered() {
    // Here 127.0.0.1 is the gateway, and loopback as such is not allowed.
    let envd = Envd::boot_with(Setup {
        without_loopback: true,
        arguments: vec!["--gateway", "127.0.0.1"],
        ..Setup::default()
    });
    assert_eq!(envd.get("/health", &[]).status, 204);
    let envd = Envd::boot_with(Setup {
        without_loopback: true,
        ..Setup::default()
    });
    let mut socket = connect(envd.port);
    send_head(&mut socket, "GET", "/health", &[], Some(0));
    let mut answer = [0; 1];
    assert!(
        !matches!(socket.read(&mut answer), Ok(1)),
        "a peer that is not the gateway gets no byte"
    );
}

#[test]
fn metrics_are_plausible() {
    let envd = Envd::boot();
    let metrics = envd.get("/metrics", &[]).json();
    let number = |name: &str| {
        metrics[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {metrics}"))
    };
    let cpus = std::thread::available_parallelism().expect("known").get() as f64;
    assert!(number("cpu_count") >= cpus);
    assert!((0.0..=100.0).contains(&number("cpu_used_pct")));
    assert!(number("mem_used") > 0.0 && number("mem_used") < number("mem_total"));
    assert!(number("disk_used") <= number("disk_total") && number("disk_total") > 0.0);
    assert_eq!(
        number("mem_total_mib"),
        (number("mem_total") / 1_048_576.0).floor()
    );
    assert!(number("ts") > 1_700_000_000.0 && number("mem_cache") > 0.0);
    assert!(number("mem_used_mib") <= number("mem_total_mib"));
}

#[test]
fn browsers_of_any_origin_may_ask() {
    let envd = Envd::boot();
    envd.init(json!({ "accessToken": "t" }));
    let origin = ("origin", "https://app.example");
    let preflight = support::request(
        envd.port,
        "OPTIONS",
        "/process.Process/List",
        &[origin, ("access-control-request-headers", "x-access-token")],
        b"",
    );
    assert_eq!(
        (
            preflight.status,
            preflight.header("access-control-allow-origin")
        ),
        (204, Some("*"))
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("x-access-token")
    );
    let refused = envd.get("/envs", &[origin]);
    assert_eq!(
        (
            refused.status,
            refused.header("access-control-allow-origin")
        ),
        (401, Some("*"))
    );
    assert_eq!(
        envd.get("/health", &[])
            .header("access-control-allow-origin"),
        None
    );
}
