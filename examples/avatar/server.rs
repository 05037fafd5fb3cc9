// SPDX-License-Identifier: MPL-2.0
//! What can be asked for over HTTP. A body is read no faster than it is said, so a sender that is ahead is held back by TCP.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oxhttp::Server;
use oxhttp::model::header::{CONNECTION, CONTENT_TYPE};
use oxhttp::model::{Body, HeaderValue, Method, Request, Response, StatusCode};

use super::output::Feed;
use super::pipeline::Avatar;
use super::sound::{Converter, Error, Kind, Pcm};
use super::speech::RATE;

const HELP: &str = "POST /speech with a wav file, or samples with Content-Type: audio/L16;rate=…;channels=… or \
                    ?format=S16LE&rate=…&channels=…; POST /interrupt; GET /stats\n";

/// Bytes of a body: an hour of stereo at 48 kHz.
const MOST_BYTES: u64 = 3600 * RATE as u64 * 4;

/// Bytes that a sender who is refused may still send before the answer.
const MOST_IGNORED: u64 = 1 << 20;

/// A sender from whom nothing comes for so long has gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at once; each has a thread.
const MOST_CONNECTIONS: usize = 256;

/// A status and what to say.
type Answer = (StatusCode, String);

/// Takes requests from now on, as long as the process lives.
pub fn serve(address: SocketAddr, avatar: Arc<Avatar>, outputs: Vec<(&'static str, Arc<Feed>)>) -> Result<(), String> {
    let server = Server::new(move |request| {
        let (status, text) = answer(request, &avatar, &outputs);
        let known = request.body().len().is_some_and(|length| length <= MOST_IGNORED);
        let gone = status == StatusCode::REQUEST_TIMEOUT;
        let refused =
            [StatusCode::CONFLICT, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
        if gone || refused && !known {
            // The server would wait for the rest of the body before it answers, and nobody knows when that comes.
            *request.body_mut() = Body::empty();
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let kind = if text.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    });
    let server = server.bind(address).with_global_timeout(PATIENCE).with_max_concurrent_connections(MOST_CONNECTIONS);
    server.spawn().map(|_| ()).map_err(|error| format!("--listen {address}: {error}"))
}

fn answer(request: &mut Request<Body>, avatar: &Avatar, outputs: &[(&str, Arc<Feed>)]) -> Answer {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/") => (StatusCode::OK, HELP.into()),
        (&Method::GET, "/stats") => (StatusCode::OK, stats(avatar, outputs)),
        (&Method::POST, "/interrupt") => {
            avatar.interrupt();
            (StatusCode::OK, "{\"interrupted\": true}\n".into())
        }
        (&Method::POST, "/speech") => speech(request, avatar).unwrap_or_else(|(status, text)| (status, text + "\n")),
        (_, "/" | "/stats") => (StatusCode::METHOD_NOT_ALLOWED, "this can be read (GET)\n".into()),
        (_, "/speech" | "/interrupt") => (StatusCode::METHOD_NOT_ALLOWED, "this takes POST\n".into()),
        _ => (StatusCode::NOT_FOUND, format!("there is no such thing here: {HELP}")),
    }
}

fn speech(request: &mut Request<Body>, avatar: &Avatar) -> Result<Answer, Answer> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let pcm = Pcm::of(content_type, request.uri().query().unwrap_or("")).map_err(bad)?;
    let too_much = || (StatusCode::PAYLOAD_TOO_LARGE, format!("more than {MOST_BYTES} bytes are too much at once"));
    let body = request.body_mut();
    if body.len().is_some_and(|length| length > MOST_BYTES) {
        return Err(too_much());
    }
    let full = "too many speeches wait; try again when some have been said";
    let writer = avatar.speech.begin().ok_or((StatusCode::SERVICE_UNAVAILABLE, full.to_owned()))?;

    let broken = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            (StatusCode::REQUEST_TIMEOUT, format!("nothing of the body came for {} s", PATIENCE.as_secs()))
        }
        _ => bad(format!("the body broke off: {error}")),
    };
    let mut start = Vec::new();
    body.take(12).read_to_end(&mut start).map_err(broken)?;
    if start.is_empty() {
        return Err(bad("there is no sound in the request: its body is empty".into()));
    }
    let converter = Converter::start(&Kind::of(&start, pcm).map_err(refused)?, writer).map_err(refused)?;
    let mut bytes = start.len() as u64;
    converter.push(start).map_err(refused)?;
    // What has come is said, whatever follows.
    let ended = loop {
        let mut piece = vec![0; 4096];
        match body.read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                bytes += count as u64;
                if bytes > MOST_BYTES {
                    break Err(too_much());
                }
                piece.truncate(count);
                converter.push(piece).map_err(refused)?;
            }
            Err(error) => break Err(broken(error)),
        }
    };
    converter.finish().map_err(refused)?;
    ended.map(|()| (StatusCode::OK, format!("{{\"bytes\": {bytes}}}\n")))
}

fn bad(text: String) -> Answer {
    (StatusCode::BAD_REQUEST, text)
}

fn refused(error: Error) -> Answer {
    (if error == Error::Cut { StatusCode::CONFLICT } else { StatusCode::UNSUPPORTED_MEDIA_TYPE }, error.to_string())
}

/// As JSON. There is no text in it that would need escaping.
fn stats(avatar: &Avatar, outputs: &[(&str, Arc<Feed>)]) -> String {
    let stats = avatar.stats();
    let mut fields = Vec::new();
    for (name, value) in stats.iter() {
        if let Ok(number) = value.get::<u64>() {
            fields.push(format!("\"{name}\": {number}"));
        } else if let Ok(number) = value.get::<f64>().map(|number| (number * 1000.0).round() / 1000.0)
            && number.is_finite()
        {
            fields.push(format!("\"{name}\": {number}"));
        }
    }
    let status = avatar.speech.status();
    let ms = |time: Option<f64>| time.map_or("null".into(), |seconds| format!("{:.1}", seconds * 1000.0));
    fields.push(format!("\"speeches\": {}, \"waiting-seconds\": {:.3}", status.speeches, status.seconds));
    fields.push(format!("\"speech-delay-ms\": {}", ms(status.delay.map(|delay| delay.as_secs_f64()))));
    fields.push(format!("\"latency-ms\": {}", ms(avatar.latency().map(|time| time.seconds_f64()))));
    let outputs = outputs.iter().map(|(name, feed)| {
        let [sent, starts] = [&feed.sent, &feed.starts].map(|count| count.load(Ordering::Relaxed));
        format!("{{\"to\": \"{name}\", \"sent\": {sent}, \"starts\": {starts}}}")
    });
    format!("{{{}, \"outputs\": [{}]}}\n", fields.join(", "), outputs.collect::<Vec<_>>().join(", "))
}
