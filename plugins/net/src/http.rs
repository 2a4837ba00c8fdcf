//! As much of an HTTP client as plugins need. TLS, its authorities and the limit on an answer are
//! the server's affair. Redirects are not followed: what is sent goes where the settings say.

use crate::stream::{read, write};
use crate::{Deadline, Url};
use std::time::Duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::poll::Pollable;

/// What goes to a service, by POST.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where to.
    pub url: &'a Url,
    /// Names and values.
    pub headers: &'a [(String, String)],
    /// JSON.
    pub body: &'a [u8],
    /// From the first to the last byte.
    pub timeout: Duration,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// 200, say.
    pub status: u16,
    /// All of it.
    pub body: Vec<u8>,
}

/// Sends a request and waits for the answer. The error says why there is none.
pub fn post(request: &Request) -> Result<Answer, String> {
    exchange(request, |answer, deadline| {
        let body = answer.consume().map_err(|()| "no body")?;
        let body = receive(&body, deadline)?;
        let status = answer.status();
        Ok(Answer { status, body })
    })
}

/// Sends a request and waits for the answer's status, which is all that counts.
pub fn status(request: &Request) -> Result<u16, String> {
    exchange(request, |answer, _| Ok(answer.status()))
}

/// An answer that came counts, whatever became of the rest of the request: a service may answer
/// without having read it, and close or not (RFC 9112 §9.5).
fn exchange<T>(
    request: &Request,
    take: impl FnOnce(&IncomingResponse, Deadline) -> Result<T, String>,
) -> Result<T, String> {
    let deadline = Deadline::after(request.timeout);
    let outgoing = outgoing(request)?;
    let timeout = u64::try_from(request.timeout.as_nanos()).ok();
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(timeout);
    let _ = options.set_first_byte_timeout(timeout);
    let _ = options.set_between_bytes_timeout(timeout);

    // The body is asked for before the request is sent, and written after.
    let body = outgoing.body().map_err(|()| "no body")?;
    let response = outgoing_handler::handle(outgoing, Some(options)).map_err(failed)?;
    let answered = response.subscribe();
    let sent = send(&body, request.body, &answered, deadline);
    // A body that ends too early ends the connection, so it is kept until the answer has been read.
    let unfinished = match sent {
        Ok(true) => {
            let _ = OutgoingBody::finish(body, None);
            None
        }
        Ok(false) | Err(_) => Some(body),
    };
    // A request that was refused or broke fails here, too, and this error says more.
    deadline
        .wait(&answered)
        .map_err(|error| error.to_string())?;
    let answer = response.get().ok_or("no answer")?;
    let answer = answer.map_err(|()| "no answer")?.map_err(failed)?;
    let taken = take(&answer, deadline);
    drop(unfinished);
    taken
}

fn failed(error: ErrorCode) -> String {
    match error {
        // Which of the clocks that run side by side was first says nothing.
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => "timed out".to_owned(),
        error => error.to_string().replace("ErrorCode::", ""),
    }
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, String> {
    let headers = Fields::new();
    let length = request.body.len().to_string();
    let own = [
        ("content-type", "application/json"),
        ("content-length", &length),
        ("accept", "application/json"),
    ];
    let given = request.headers.iter();
    let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(given) {
        headers
            .append(name, value.as_bytes())
            .map_err(|error| format!("header {name}: {error}"))?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let scheme = match request.url.secure {
        true => Scheme::Https,
        false => Scheme::Http,
    };
    let malformed = |()| "not a URL";
    outgoing.set_method(&Method::Post).map_err(malformed)?;
    outgoing.set_scheme(Some(&scheme)).map_err(malformed)?;
    outgoing
        .set_authority(Some(&request.url.authority))
        .map_err(malformed)?;
    outgoing
        .set_path_with_query(Some(&request.url.path))
        .map_err(malformed)?;
    Ok(outgoing)
}

/// Whether all of it was sent: no, where the answer came while there was no room for more. The stream
/// is dropped at the end: the body cannot be finished before.
fn send(
    body: &OutgoingBody,
    mut bytes: &[u8],
    answered: &Pollable,
    deadline: Deadline,
) -> Result<bool, String> {
    let stream = body.write().map_err(|()| "no stream")?;
    let failed = |error: std::io::Error| error.to_string();
    while !bytes.is_empty() {
        let Some(count) = write(&stream, bytes, answered, deadline).map_err(failed)? else {
            return Ok(false);
        };
        bytes = bytes.get(count..).unwrap_or_default();
    }
    // A body of known length is on its way as a whole, and nothing is left to be flushed.
    Ok(true)
}

fn receive(body: &IncomingBody, deadline: Deadline) -> Result<Vec<u8>, String> {
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut content = Vec::new();
    while let Some(bytes) = read(&stream, 64 * 1024, deadline).map_err(|error| error.to_string())? {
        content.extend(bytes);
    }
    Ok(content)
}
