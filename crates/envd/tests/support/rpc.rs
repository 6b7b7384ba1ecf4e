//! Connect calls with JSON.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::http::{connect, read_chunk, read_head, send_head};
use super::{Envd, Response, Value, json};

/// What a stream brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Message(Value),
    /// The end frame's object: `{}` or `{"error": ...}`.
    End(Value),
}

/// A stream of messages from the agent.
pub struct Stream {
    reader: BufReader<TcpStream>,
    pub status: u16,
    buffered: Vec<u8>,
}

impl Envd {
    /// A unary call; the answer as it comes.
    pub fn call_raw(&self, method: &str, headers: &[(&str, &str)], message: &Value) -> Response {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.post(
            &format!("/{method}"),
            &headers,
            message.to_string().as_bytes(),
        )
    }

    /// A unary call that has to succeed.
    pub fn call(&self, method: &str, message: Value) -> Value {
        let response = self.call_raw(method, &[], &message);
        assert_eq!(response.status, 200, "{method}: {}", response.text());
        response.json()
    }

    /// A unary call that has to fail; its status and code.
    pub fn call_error(&self, method: &str, message: Value) -> (u16, String) {
        let response = self.call_raw(method, &[], &message);
        (
            response.status,
            response.json()["code"].as_str().expect("a code").to_owned(),
        )
    }

    /// Opens a server stream.
    pub fn stream(&self, method: &str, headers: &[(&str, &str)], message: &Value) -> Stream {
        self.stream_of(
            method,
            headers,
            &envelope(0, message.to_string().as_bytes()),
        )
    }

    /// Opens a stream with these bytes as the whole request.
    pub fn stream_of(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Stream {
        let mut socket = connect(self.port);
        let headers = [&[("content-type", "application/connect+json")], headers].concat();
        send_head(
            &mut socket,
            "POST",
            &format!("/{method}"),
            &headers,
            Some(body.len()),
        );
        socket.write_all(body).expect("sent");
        let mut reader = BufReader::new(socket);
        let (status, _) = read_head(&mut reader);
        Stream {
            reader,
            status,
            buffered: Vec::new(),
        }
    }

    /// Starts a process.
    pub fn start(&self, request: Value) -> Stream {
        self.stream("process.Process/Start", &[], &request)
    }

    /// Runs a shell command to its end.
    pub fn run(&self, command: &str) -> Ran {
        self.start(shell(command)).finish()
    }
}

/// The Start request that the SDKs send for a command.
pub fn shell(command: &str) -> Value {
    json!({ "process": { "cmd": "/bin/bash", "args": ["-c", command] }, "stdin": false })
}

/// One envelope.
pub fn envelope(flags: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags];
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message);
    bytes
}

/// A process's whole stream.
#[derive(Debug, Default)]
pub struct Ran {
    pub pid: u64,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub pty: Vec<u8>,
    /// The `end` event, or null.
    pub end: Value,
    /// The end frame.
    pub last: Value,
    pub keepalives: usize,
    /// The offset of the first chunk of standard output.
    pub first_offset: Option<u64>,
}

impl Ran {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn exit_code(&self) -> i64 {
        assert!(!self.end.is_null(), "no end: {}", self.last);
        self.end["exitCode"].as_i64().unwrap_or(0)
    }

    /// The code of the error in the end frame.
    pub fn error(&self) -> &str {
        self.last["error"]["code"].as_str().unwrap_or("none")
    }

    fn add(&mut self, event: &Value) {
        let event = &event["event"];
        if let Some(pid) = event["start"]["pid"].as_u64() {
            self.pid = pid;
        }
        let data = &event["data"];
        for (name, target) in [
            ("stdout", &mut self.stdout),
            ("stderr", &mut self.stderr),
            ("pty", &mut self.pty),
        ] {
            if let Some(text) = data[name].as_str() {
                if name == "stdout" && self.first_offset.is_none() {
                    self.first_offset = Some(
                        data["offset"]
                            .as_str()
                            .unwrap_or("0")
                            .parse()
                            .expect("an offset"),
                    );
                }
                target.extend(STANDARD.decode(text).expect("base64"));
            }
        }
        if event.get("end").is_some() {
            self.end = event["end"].clone();
        }
        self.keepalives += usize::from(event.get("keepalive").is_some());
    }
}

impl Stream {
    /// The next frame.
    pub fn next(&mut self) -> Event {
        loop {
            if let Some(length) = self.buffered.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().expect("four")) as usize;
                if self.buffered.len() >= 5 + length {
                    let frame: Vec<u8> = self.buffered.drain(..5 + length).collect();
                    let message = serde_json::from_slice(&frame[5..]).expect("JSON");
                    return if frame[0] & 2 == 0 {
                        Event::Message(message)
                    } else {
                        Event::End(message)
                    };
                }
            }
            let chunk = read_chunk(&mut self.reader).expect("the stream goes on to its end frame");
            self.buffered.extend(chunk);
        }
    }

    /// The next message; it has to be one.
    pub fn message(&mut self) -> Value {
        match self.next() {
            Event::Message(message) => message,
            Event::End(end) => panic!("the stream ended: {end}"),
        }
    }

    /// The pid in the first event.
    pub fn pid(&mut self) -> u64 {
        self.message()["event"]["start"]["pid"]
            .as_u64()
            .expect("a start event first")
    }

    /// Reads to the end.
    pub fn finish(mut self) -> Ran {
        let mut ran = Ran::default();
        loop {
            match self.next() {
                Event::Message(message) => ran.add(&message),
                Event::End(last) => {
                    ran.last = last;
                    return ran;
                }
            }
        }
    }

    /// Reads until standard output (or the terminal) holds `text`.
    pub fn read_until(&mut self, text: &str) -> Ran {
        let mut ran = Ran::default();
        loop {
            ran.add(&self.message());
            if ran.out().contains(text) || String::from_utf8_lossy(&ran.pty).contains(text) {
                return ran;
            }
        }
    }
}
