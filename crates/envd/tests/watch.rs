//! Watches, against the real agent.

mod support;

use support::rpc::Stream;
use support::{Envd, Event, Value, json};

fn watch(envd: &Envd, request: Value) -> Stream {
    let mut stream = envd.stream("filesystem.Filesystem/WatchDir", &[], &request);
    assert_eq!(stream.message(), json!({ "start": {} }));
    stream
}

/// "CREATE a", "WRITE a" …
fn short(event: &Value) -> String {
    let kind = event["type"]
        .as_str()
        .expect("a type")
        .strip_prefix("EVENT_TYPE_")
        .expect("the prefix");
    format!("{kind} {}", event["name"].as_str().expect("a name"))
}

fn create(envd: &Envd, request: Value) -> String {
    envd.call("filesystem.Filesystem/CreateWatcher", request)["watcherId"]
        .as_str()
        .expect("an id")
        .to_owned()
}

fn drain(envd: &Envd, id: &str) -> Vec<String> {
    let events = envd.call(
        "filesystem.Filesystem/GetWatcherEvents",
        json!({ "watcherId": id }),
    );
    events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(short)
        .collect()
}

/// The names that come until the file `stop` is created in the directory.
fn until(stream: &mut Stream, stop: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let event = short(&stream.message()["filesystem"]);
        if event == format!("CREATE {stop}") {
            return seen;
        }
        seen.push(event);
    }
}

#[test]
fn an_upload_is_exactly_three_events() {
    let envd = Envd::boot();
    envd.run("mkdir w");
    let id = create(&envd, json!({ "path": "w" }));
    let mut stream = watch(&envd, json!({ "path": "w" }));
    envd.write("w/a", b"hello");
    assert_eq!(drain(&envd, &id), ["CREATE a", "CHMOD a", "WRITE a"]);
    assert_eq!(drain(&envd, &id), [] as [&str; 0], "they were taken");
    envd.run("touch w/stop");
    assert_eq!(
        until(&mut stream, "stop"),
        ["CREATE a", "CHMOD a", "WRITE a"]
    );
}

#[test]
fn every_kind_of_change() {
    let envd = Envd::boot();
    envd.run("mkdir -p w/sub; touch w/old w/sub/deep");
    let id = create(&envd, json!({ "path": "w" }));
    let after = |command: &str| {
        assert_eq!(envd.run(command).exit_code(), 0);
        drain(&envd, &id)
    };
    assert_eq!(after("mkdir w/d"), ["CREATE d"]);
    assert_eq!(after("chmod 600 w/old"), ["CHMOD old"]);
    assert_eq!(after("echo x >> w/old"), ["WRITE old"]);
    assert_eq!(after("mv w/old w/new"), ["RENAME old", "CREATE new"]);
    assert_eq!(after("rm w/new"), ["REMOVE new"]);
    assert_eq!(after("mv w/d ."), ["RENAME d"]);
    assert_eq!(
        after("touch w/sub/x; rm w/sub/deep"),
        [] as [&str; 0],
        "not recursive"
    );
    assert_eq!(after("rm -r w"), ["REMOVE sub", "REMOVE ."]);
    envd.call(
        "filesystem.Filesystem/RemoveWatcher",
        json!({ "watcherId": id }),
    );
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/GetWatcherEvents",
            json!({ "watcherId": id })
        )
        .1,
        "not_found"
    );
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/RemoveWatcher",
            json!({ "watcherId": id })
        )
        .1,
        "not_found"
    );
}

#[test]
fn recursive_watches_take_in_new_directories_at_once() {
    let envd = Envd::boot();
    envd.run("mkdir -p w/a/b");
    let id = create(&envd, json!({ "path": "w", "recursive": true }));
    envd.run("touch w/a/b/f");
    assert_eq!(drain(&envd, &id), ["CREATE a/b/f", "CHMOD a/b/f"]);
    // The agent's own changes, without a pause between them.
    envd.write("w/n/e/w/file", b"x");
    let mut events = drain(&envd, &id);
    // The agent's chown of a new directory comes before the directory around it is watched, or after.
    events.retain(|event| !event.starts_with("CHMOD") || event.ends_with("file"));
    assert_eq!(
        events,
        [
            "CREATE n",
            "CREATE n/e",
            "CREATE n/e/w",
            "CREATE n/e/w/file",
            "CHMOD n/e/w/file",
            "WRITE n/e/w/file"
        ]
    );
    // A program's changes, faster than the agent can look: nothing is missing, nothing twice.
    for round in 0..20 {
        envd.run(&format!(
            "mkdir -p w/r{round}/x/y; echo 1 > w/r{round}/x/y/f; echo 2 > w/r{round}/x/g"
        ));
        let mut events = drain(&envd, &id);
        events.retain(|event| !event.starts_with("CHMOD"));
        events.sort();
        let mut expected: Vec<String> = ["", "/x", "/x/g", "/x/y", "/x/y/f"]
            .iter()
            .map(|name| format!("CREATE r{round}{name}"))
            .collect();
        expected.extend(["/x/g", "/x/y/f"].map(|name| format!("WRITE r{round}{name}")));
        assert_eq!(events, expected);
    }
}

#[test]
fn moved_directories_change_their_names() {
    let envd = Envd::boot();
    envd.run("mkdir -p w/a/deep out/in; touch out/in/old");
    let id = create(&envd, json!({ "path": "w", "recursive": true }));
    envd.run("mv w/a w/b");
    assert_eq!(drain(&envd, &id), ["RENAME a", "CREATE b"]);
    envd.run("touch w/b/deep/f");
    assert_eq!(drain(&envd, &id)[0], "CREATE b/deep/f");
    envd.run("mv w/b .; touch b/deep/g");
    assert_eq!(drain(&envd, &id), ["RENAME b"], "what left is not watched");
    envd.run("mv out w/out; touch w/out/in/new");
    assert_eq!(
        drain(&envd, &id)[..2],
        ["CREATE out", "CREATE out/in/new"],
        "what came in is watched, its content is no news"
    );
}

#[test]
fn entries_come_with_events_on_request() {
    let envd = Envd::boot();
    envd.run("mkdir w");
    let mut stream = watch(&envd, json!({ "path": "w", "includeEntry": true }));
    envd.write("w/a", b"hello");
    for kind in ["CREATE", "CHMOD", "WRITE"] {
        let event = stream.message()["filesystem"].clone();
        assert_eq!(event["type"], format!("EVENT_TYPE_{kind}"));
        assert_eq!(event["entry"]["path"], "/home/user/w/a");
    }
    envd.run("rm w/a");
    let event = stream.message()["filesystem"].clone();
    assert_eq!(
        (event["type"].as_str(), event.get("entry")),
        (Some("EVENT_TYPE_REMOVE"), None)
    );
}

#[test]
fn watches_are_refused() {
    let envd = Envd::boot();
    envd.run("touch file");
    let refused = |request: Value| {
        envd.stream("filesystem.Filesystem/WatchDir", &[], &request)
            .next()
    };
    for (request, code) in [
        (json!({ "path": "none" }), "not_found"),
        (json!({ "path": "file" }), "invalid_argument"),
    ] {
        let Event::End(end) = refused(request.clone()) else {
            panic!("refused")
        };
        assert_eq!(end["error"]["code"], code);
        assert_eq!(
            envd.call_error("filesystem.Filesystem/CreateWatcher", request)
                .1,
            code
        );
    }
}

#[test]
fn a_watch_ends_with_its_timeout_and_sends_keepalives() {
    let envd = Envd::boot();
    let mut stream = envd.stream(
        "filesystem.Filesystem/WatchDir",
        &[
            ("connect-timeout-ms", "1500"),
            ("keepalive-ping-interval", "1"),
        ],
        &json!({ "path": "/tmp" }),
    );
    assert_eq!(stream.message(), json!({ "start": {} }));
    assert_eq!(stream.message(), json!({ "keepalive": {} }));
    let Event::End(end) = stream.next() else {
        panic!("the deadline ends it")
    };
    assert_eq!(end["error"]["code"], "deadline_exceeded");
}

#[test]
fn watchers_do_not_disturb_each_other() {
    let envd = Envd::boot();
    envd.run("mkdir -p w/sub");
    let flat = create(&envd, json!({ "path": "w" }));
    let deep = create(&envd, json!({ "path": "w", "recursive": true }));
    let inner = create(&envd, json!({ "path": "w/sub" }));
    envd.run("touch w/sub/a");
    assert_eq!(drain(&envd, &flat), [] as [&str; 0]);
    assert_eq!(drain(&envd, &deep)[0], "CREATE sub/a");
    assert_eq!(drain(&envd, &inner)[0], "CREATE a");
    envd.call(
        "filesystem.Filesystem/RemoveWatcher",
        json!({ "watcherId": deep }),
    );
    envd.run("rm w/sub/a; touch w/b");
    assert_eq!(drain(&envd, &inner), ["REMOVE a"]);
    assert_eq!(drain(&envd, &flat), ["CREATE b", "CHMOD b"]);
}

#[test]
fn a_flood_of_watchers_and_events_is_bounded() {
    let envd = Envd::boot();
    envd.run("mkdir w; cd w; for d in $(seq 200); do mkdir $d; done");
    let ids: Vec<String> = (0..600)
        .map(|_| create(&envd, json!({ "path": "w", "recursive": true })))
        .collect();
    // The ones that were forgotten longest had to make room.
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/GetWatcherEvents",
            json!({ "watcherId": ids[0] })
        )
        .1,
        "not_found"
    );
    assert_eq!(drain(&envd, &ids[599]), [] as [&str; 0]);
    for id in &ids[350..] {
        envd.call(
            "filesystem.Filesystem/RemoveWatcher",
            json!({ "watcherId": id }),
        );
    }
    let id = create(&envd, json!({ "path": "w" }));
    envd.run("cd w; for i in $(seq 30000); do : > f; : > g; done; seq 20000 | xargs touch");
    let lost = envd.call_error(
        "filesystem.Filesystem/GetWatcherEvents",
        json!({ "watcherId": id }),
    );
    assert_eq!(lost, (500, "data_loss".into()));
    envd.run("touch w/later");
    assert!(
        drain(&envd, &id).contains(&"CREATE later".to_owned()),
        "it goes on"
    );
    assert!(
        envd.status_kib("VmRSS") < 64 * 1024,
        "{} KiB",
        envd.status_kib("VmRSS")
    );
}
