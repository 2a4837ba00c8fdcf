//! HTTP.

use crate::Told;
use std::io::Write as _;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

/// How long to wait for a connection, the first byte, each next one.
const HALF_A_SECOND: Option<u64> = Some(500_000_000);

/// A POST.
fn request(url: &str, patience: Option<u64>) -> Result<(OutgoingRequest, RequestOptions), String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.into()),
    };
    let request = OutgoingRequest::new(Fields::new());
    let malformed = |()| "no URL".to_owned();
    request.set_method(&Method::Post).map_err(malformed)?;
    request.set_scheme(Some(&scheme)).map_err(malformed)?;
    request.set_authority(Some(authority)).map_err(malformed)?;
    let path = if path.is_empty() { "/" } else { path };
    request.set_path_with_query(Some(path)).map_err(malformed)?;
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(patience);
    let _ = options.set_first_byte_timeout(patience);
    let _ = options.set_between_bytes_timeout(patience);
    Ok((request, options))
}

/// Sends twenty at a time, and counts those that were not sent.
pub fn many(url: &str) -> Told {
    let mut responses = Vec::new();
    for _ in 0..20 {
        let (request, options) = request(url, HALF_A_SECOND)?;
        let response = outgoing_handler::handle(request, Some(options));
        responses.push(response.map_err(|error| error.to_string())?);
    }
    let mut refused = 0;
    for response in responses {
        response.subscribe().block();
        if let Some(Ok(Err(ErrorCode::ConnectionLimitReached))) = response.get() {
            refused += 1;
        }
    }
    Ok(format!("{refused} refused"))
}

/// Waits for half a second each time.
pub fn hurry(url: &str) -> Told {
    exchange(request(url, HALF_A_SECOND)?, 0)
}

/// Sends so many bytes.
pub fn ask(url: &str, length: usize) -> Told {
    exchange(request(url, None)?, length)
}

fn exchange((request, options): (OutgoingRequest, RequestOptions), length: usize) -> Told {
    let body = request.body().map_err(|()| "no body")?;
    let response =
        outgoing_handler::handle(request, Some(options)).map_err(|error| error.to_string())?;
    let mut stream = body.write().map_err(|()| "no stream")?;
    let mut sent = Ok(());
    for _ in 0..length.div_ceil(4096) {
        sent = sent.and_then(|()| stream.write_all(&[b'x'; 4096]));
    }
    drop(stream);
    // Ended too early, it would end the connection before the answer has been read.
    let _unfinished = match sent {
        Ok(()) => {
            let _ = OutgoingBody::finish(body, None);
            None
        }
        Err(_) => Some(body),
    };

    // An answer that came counts, whatever became of the request; and where none came, this says why.
    response.subscribe().block();
    let answer = response
        .get()
        .ok_or("not ready")?
        .map_err(|()| "taken before")?
        .map_err(|error| error.to_string())?;
    let status = answer.status();
    let content = read(answer.consume().map_err(|()| "no body")?)?;
    Ok(format!("{status} {}", String::from_utf8_lossy(&content)))
}

fn read(body: IncomingBody) -> Result<Vec<u8>, String> {
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut content = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => content.extend(chunk),
            Err(StreamError::Closed) => return Ok(content),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}
