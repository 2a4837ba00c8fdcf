//! The requests to S3 that the library does not make: conditions, keys that end in a slash, uploads that nobody
//! has completed, and listings in which one odd key does not hide all others. The library signs them.

use std::{
    fmt::Write,
    io,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use object_store::{
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpErrorKind, HttpRequestBody},
    multipart::PartId,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{sleep, timeout};

use super::{
    super::{Error, Result},
    engine::{Multipart, Object, Over, Page},
};

/// Everything but the unreserved characters of RFC 3986, as signatures want it.
const STRICT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same, in a path.
const IN_PATH: AsciiSet = STRICT.remove(b'/');
/// How often a request is sent again, each time after twice as long.
const AGAIN: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// An answer that lets wait, as one to a copy or a completion may, has to come within this.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most that an answer may have.
const LONGEST: usize = 16 << 20;

/// A bucket.
pub(super) struct S3 {
    pub(super) client: HttpClient,
    pub(super) credentials: AwsCredentialProvider,
    pub(super) region: String,
    /// The bucket's URL, without a slash at its end.
    pub(super) url: String,
    pub(super) bucket: String,
}

/// A request.
struct Call<'a> {
    method: Method,
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    /// Signed.
    headers: &'a [(&'a str, &'a str)],
    /// The condition on what lies there: sent beside what is signed.
    condition: Option<(&'a str, &'a str)>,
    body: Bytes,
}

impl<'a> Call<'a> {
    fn new(method: Method, key: &'a str) -> Self {
        Self {
            method,
            key,
            query: &[],
            headers: &[],
            condition: None,
            body: Bytes::new(),
        }
    }
}

/// An upload in parts that is under way, or was left.
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) begun: SystemTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    contents: Vec<ListedObject>,
    #[serde(default)]
    common_prefixes: Vec<ListedPrefix>,
    #[serde(default)]
    next_continuation_token: Option<String>,
    #[serde(default)]
    encoding_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedObject {
    key: String,
    size: u64,
    last_modified: String,
    #[serde(rename = "ETag")]
    e_tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPrefix {
    prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUploads {
    #[serde(default, rename = "Upload")]
    uploads: Vec<ListedUpload>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: Option<String>,
    #[serde(default)]
    next_upload_id_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
    initiated: String,
}

#[derive(Deserialize)]
struct Copied {
    #[serde(rename = "ETag")]
    e_tag: String,
}

/// An error in an answer, which S3 sends even with 200.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
}

fn failed(text: impl Into<String>) -> Error {
    Error::Io(io::Error::other(text.into()))
}

fn time(text: &str) -> Result<SystemTime> {
    let parsed: std::result::Result<jiff::Timestamp, _> = text.parse();
    parsed
        .map(SystemTime::from)
        .map_err(|error| failed(format!("a time of the engine: {error}")))
}

fn parsed<T: DeserializeOwned>(answer: &Bytes) -> Result<T> {
    quick_xml::de::from_reader(&**answer).map_err(|error| {
        failed(format!(
            "an answer of the engine cannot be understood: {error}"
        ))
    })
}

/// A key as it was before the engine encoded it.
fn decoded(text: String, encoded: bool) -> Option<String> {
    if !encoded {
        return Some(text);
    }
    let spaced = text.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
}

impl S3 {
    fn request(&self, call: &Call<'_>) -> Result<Request<HttpRequestBody>> {
        let mut url = self.url.clone();
        url.push('/');
        url.extend(utf8_percent_encode(call.key, &IN_PATH));
        for (index, (name, value)) in call.query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.extend(utf8_percent_encode(name, &STRICT));
            url.push('=');
            url.extend(utf8_percent_encode(value, &STRICT));
        }
        let mut request = Request::builder().method(call.method.clone()).uri(url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        request
            .body(HttpRequestBody::from(call.body.clone()))
            .map_err(|error| failed(error.to_string()))
    }

    /// Sends a request until there is an answer to it, and reads that.
    async fn send(&self, call: Call<'_>) -> Result<Bytes> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            let answer = timeout(PATIENCE, self.exchange(&call)).await;
            let answer =
                answer.unwrap_or_else(|_| Err((failed("the engine does not answer"), true)));
            match answer {
                Ok(body) => return Ok(body),
                Err((_, true)) if tries < AGAIN => tries += 1,
                Err((error, _)) => return Err(error),
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// With an error: whether the next try may do better.
    async fn exchange(&self, call: &Call<'_>) -> std::result::Result<Bytes, (Error, bool)> {
        let for_good = |error: Error| (error, false);
        let credentials = self.credentials.get_credential().await;
        let credentials = credentials.map_err(|error| (error.into(), true))?;
        let mut request = self.request(call).map_err(for_good)?;
        AwsAuthorizer::new(&credentials, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| for_good(error.into()))?;
        if let Some((name, value)) = call.condition {
            let name = http::HeaderName::try_from(name);
            let value = http::HeaderValue::try_from(value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(for_good(failed("a tag of the engine cannot be sent back")));
            };
            request.headers_mut().insert(name, value);
        }
        let sent = self.client.execute(request).await;
        let answer = sent.map_err(|error| {
            let again = !matches!(error.kind(), HttpErrorKind::Decode | HttpErrorKind::Unknown);
            (failed(super::error::explained(&error)), again)
        })?;
        let (parts, body) = answer.into_parts();
        let body = http_body_util::Limited::new(body, LONGEST).collect().await;
        let body = body
            .map_err(|error| (failed(error.to_string()), true))?
            .to_bytes();
        let fault = fault(&body);
        let busy = ["InternalError", "SlowDown", "RequestTimeout"];
        let again = busy.into_iter().any(|code| is(&fault, code));
        match parts.status {
            // An answer that was begun before it was known may be an error all the same.
            StatusCode::OK if fault.is_some() => {}
            status if status.is_success() => return Ok(body),
            // Such a bucket is no file that is not there.
            StatusCode::NOT_FOUND if !is(&fault, "NoSuchBucket") => {
                return Err(for_good(Error::NotFound));
            }
            StatusCode::PRECONDITION_FAILED => return Err(for_good(Error::Changed)),
            StatusCode::CONFLICT => return Err((Error::Changed, true)),
            StatusCode::NOT_IMPLEMENTED => return Err(for_good(Error::Unsupported)),
            _ => {}
        }
        let mut text = format!("the engine answers {}", parts.status.as_u16());
        if let Some(Fault { code, message }) = fault {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {code}: {message}");
        }
        let again = again || parts.status.is_server_error();
        Err((failed(text), again))
    }

    /// See [`Engine::page`](super::engine::Engine::page).
    pub(super) async fn page(
        &self,
        prefix: &str,
        nested: bool,
        most: Option<usize>,
        next: Option<String>,
    ) -> Result<Page> {
        let most = most.map(|most| most.to_string());
        // In the order of their names, as some engines sign them as they come.
        let mut query = Vec::new();
        if let Some(next) = &next {
            query.push(("continuation-token", &**next));
        }
        if !nested {
            query.push(("delimiter", "/"));
        }
        query.extend([("encoding-type", "url"), ("list-type", "2")]);
        if let Some(most) = &most {
            query.push(("max-keys", most));
        }
        query.push(("prefix", prefix));
        let call = Call {
            query: &query,
            ..Call::new(Method::GET, "")
        };
        let answer = self.send(call).await?;
        let listed: Listed = parsed(&answer)?;
        let encoded = listed.encoding_type.as_deref() == Some("url");
        let mut page = Page {
            next: listed
                .next_continuation_token
                .filter(|next| !next.is_empty()),
            ..Page::default()
        };
        for object in listed.contents {
            let Some(key) = decoded(object.key, encoded) else {
                continue;
            };
            let modified = time(&object.last_modified)?;
            page.objects
                .push(Object::new(key, object.size, modified, object.e_tag));
        }
        let prefixes = listed.common_prefixes.into_iter();
        page.prefixes
            .extend(prefixes.filter_map(|listed| decoded(listed.prefix, encoded)));
        Ok(page)
    }

    /// Makes an object of parts, if what lies there is what is expected.
    pub(super) async fn complete(
        &self,
        upload: &Multipart,
        parts: &[PartId],
        over: &Over,
    ) -> Result<()> {
        let mut body = String::from("<CompleteMultipartUpload>");
        for (index, part) in parts.iter().enumerate() {
            let tag = quick_xml::escape::escape(&part.content_id);
            // Writing to a string cannot fail.
            let _ = write!(
                body,
                "<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>",
                index + 1
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let call = Call {
            query: &[("uploadId", &upload.id)],
            condition: Some(condition(over)?),
            body: body.into(),
            ..Call::new(Method::POST, &upload.key)
        };
        self.send(call).await.map(drop)
    }

    /// Copies this version of an object, and says the copy's tag. Without `replace`, only to where nothing lies.
    pub(super) async fn copy(&self, from: &Object, to: &str, replace: bool) -> Result<String> {
        let source = self.source(&from.key);
        let mut headers = vec![("x-amz-copy-source", &*source)];
        if let Some(tag) = &from.tag {
            headers.push(("x-amz-copy-source-if-match", tag));
        }
        let call = Call {
            headers: &headers,
            condition: (!replace).then_some(("if-none-match", "*")),
            ..Call::new(Method::PUT, to)
        };
        let answer = self.send(call).await?;
        Ok(parsed::<Copied>(&answer)?.e_tag)
    }

    /// An object as that which is copied.
    fn source(&self, key: &str) -> String {
        let mut source = format!("/{}/", self.bucket);
        source.extend(utf8_percent_encode(key, &IN_PATH));
        source
    }

    /// Makes a part of an upload of a version of an object, and says its tag.
    pub(super) async fn copy_part(
        &self,
        upload: &Multipart,
        number: usize,
        from: &str,
        tag: &str,
    ) -> Result<String> {
        let source = self.source(from);
        let number = (number + 1).to_string();
        let call = Call {
            query: &[("partNumber", &number), ("uploadId", &upload.id)],
            headers: &[
                ("x-amz-copy-source", &source),
                ("x-amz-copy-source-if-match", tag),
            ],
            ..Call::new(Method::PUT, &upload.key)
        };
        let answer = self.send(call).await?;
        Ok(parsed::<Copied>(&answer)?.e_tag)
    }

    /// Puts an object of nothing, whose key may end in a slash.
    pub(super) async fn put_empty(&self, key: &str) -> Result<()> {
        self.send(Call::new(Method::PUT, key)).await.map(drop)
    }

    /// Removes an object, whose key may end in a slash; with a tag, this version alone.
    pub(super) async fn delete(&self, key: &str, tag: Option<&str>) -> Result<()> {
        let call = Call {
            condition: tag.map(|tag| ("if-match", tag)),
            ..Call::new(Method::DELETE, key)
        };
        match self.send(call).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Uploads in parts that are not completed.
    pub(super) async fn uploads(&self, prefix: &str) -> Result<Vec<Begun>> {
        let mut all = Vec::new();
        let mut marker: Option<(String, String)> = None;
        loop {
            let mut query = Vec::new();
            if let Some((key, _)) = &marker {
                query.push(("key-marker", &**key));
            }
            query.push(("prefix", prefix));
            if let Some((_, id)) = &marker {
                query.push(("upload-id-marker", id));
            }
            query.push(("uploads", ""));
            let call = Call {
                query: &query,
                ..Call::new(Method::GET, "")
            };
            let answer = self.send(call).await?;
            let listed: ListedUploads = parsed(&answer)?;
            for upload in listed.uploads {
                all.push(Begun {
                    begun: time(&upload.initiated)?,
                    key: upload.key,
                    id: upload.upload_id,
                });
            }
            let next = listed.next_key_marker.zip(listed.next_upload_id_marker);
            match next.filter(|next| listed.is_truncated && Some(next) != marker.as_ref()) {
                Some(next) => marker = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Forgets an upload in parts.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<()> {
        let call = Call {
            query: &[("uploadId", id)],
            ..Call::new(Method::DELETE, key)
        };
        match self.send(call).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn condition(over: &Over) -> Result<(&str, &str)> {
    match over {
        Over::Nothing => Ok(("if-none-match", "*")),
        Over::Version(object) => match &object.tag {
            Some(tag) => Ok(("if-match", tag)),
            None => Err(failed("the engine has no tag for what is to be replaced")),
        },
    }
}

fn is(fault: &Option<Fault>, code: &str) -> bool {
    fault.as_ref().is_some_and(|fault| fault.code == code)
}

fn fault(body: &Bytes) -> Option<Fault> {
    let text = std::str::from_utf8(body).ok()?;
    text.contains("<Error>")
        .then(|| quick_xml::de::from_str(text).ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_they_were_encoded() {
        for (encoded, key) in [
            ("a+b%2Bc%25d", "a b+c%d"),
            ("%C3%A4/%0A", "ä/\n"),
            ("plain", "plain"),
        ] {
            assert_eq!(decoded(encoded.to_owned(), true).unwrap(), key);
        }
        assert_eq!(decoded("a+b%41".to_owned(), false).unwrap(), "a+b%41");
        assert!(decoded("%FF".to_owned(), true).is_none());
    }

    #[test]
    fn faults_are_found_in_answers_that_say_yes() {
        let fault = fault(&Bytes::from_static(
            b"<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>m</Message></Error>",
        ));
        assert_eq!(fault.unwrap().code, "InternalError");
        assert!(super::fault(&Bytes::from_static(b"<Done/>")).is_none());
    }
}
