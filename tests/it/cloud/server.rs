//! A server that plays what a test tells it to, byte by byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

/// What the server does after it has read a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends this and closes.
    Send(String),
    /// Closes without a word.
    Cut,
    /// Sends this, and then nothing more.
    Stall(String),
    /// Sends a body of this many bytes.
    Flood(usize),
}

/// A server that plays one act per connection and keeps every request.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let tasks = TaskTracker::new();
        let stalled = tasks.clone();
        tasks.spawn(async move {
            for act in acts {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                stalled.spawn(play(stream, act));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8(request.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").unwrap_or("0");
            if body.len() == length.parse::<usize>().unwrap() {
                return text;
            }
        }
        assert!(read > 0, "the request broke off");
    }
}

/// The client may have hung up by the time its server plays, so results do not matter.
async fn play(mut stream: TcpStream, act: Act) {
    match act {
        Act::Send(text) => drop(stream.write_all(text.as_bytes()).await),
        Act::Cut => {}
        Act::Stall(text) => {
            drop(stream.write_all(text.as_bytes()).await);
            std::future::pending::<()>().await;
        }
        Act::Flood(bytes) => {
            let text = respond("200 OK", "application/json", &" ".repeat(bytes));
            drop(stream.write_all(text.as_bytes()).await);
        }
    }
}

pub(crate) fn respond(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

pub(crate) fn answer(body: &str) -> Act {
    Act::Send(respond("200 OK", "application/json", body))
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let pair = |line: &'a str| line.split_once(": ");
    let named = |(found, _): &(&str, &str)| found.eq_ignore_ascii_case(name);
    head.lines()
        .filter_map(pair)
        .find(named)
        .map(|(_, value)| value)
}
