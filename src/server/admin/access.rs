//! Access over TCP: the holders of tokens, and the browsers that they have logged in with one.
//!
//! A browser gets a cookie that scripts cannot read and other sites do not send, and a second token
//! that its requests to change something have to carry: no page of another site can make one.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::sleep};

use super::{
    Actor, Refused, Wanted,
    tokens::{Role, Tokens},
};
use crate::observe::Rate;

/// The header with the second token.
const CSRF: &str = "x-csrf-token";
/// The most browsers that are logged in at a time; beyond it the one that has been idle for longest goes.
const BROWSERS: usize = 1000;
/// How long the answer to a wrong token is held back.
const DELAY: Duration = Duration::from_secs(1);
/// Wrong tokens that are held back at a time; more are refused at once.
const HELD_BACK: usize = 32;

static FAILED: LazyLock<Arc<Rate>> = LazyLock::new(|| Rate::new("more tokens were refused"));

/// All that decides on it.
pub(in crate::server) struct Access {
    tokens: Mutex<Tokens>,
    browsers: Mutex<HashMap<String, Browser>>,
    timeout: Duration,
    held_back: Semaphore,
    /// Whether it is spoken in HTTPS.
    tls: bool,
}

/// A browser that has logged in. It stays so as long as its token is there.
#[derive(Clone)]
struct Browser {
    token: String,
    role: Role,
    csrf: String,
    last: Instant,
}

/// The client of a connection.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// A login of a browser.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    token: String,
}

/// The token that a browser has logged in with.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LoggedIn {
    name: String,
    role: Role,
    csrf: String,
}

impl Access {
    /// With the tokens of a state directory.
    ///
    /// # Errors
    /// For people.
    pub(in crate::server) fn new(
        state: &Path,
        timeout: Duration,
        tls: bool,
    ) -> Result<Self, String> {
        Ok(Self {
            tokens: Mutex::new(Tokens::read(state)?),
            browsers: Mutex::default(),
            timeout,
            held_back: Semaphore::new(HELD_BACK),
            tls,
        })
    }

    /// The name and rights of the holder of a token.
    fn holder(&self, token: &str) -> Option<(String, Role)> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.renew();
        let (name, role) = tokens.find(token)?;
        Some((name.to_owned(), role))
    }

    /// Whether the token of that name is still there, with those rights.
    fn still_holds(&self, name: &str, role: Role) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.renew();
        tokens.all().get(name).is_some_and(|one| one.role == role)
    }

    fn browsers(&self) -> MutexGuard<'_, HashMap<String, Browser>> {
        self.browsers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The browser of a request's cookie.
    fn browser(&self, headers: &HeaderMap) -> Option<Browser> {
        let id = self.cookie(headers)?;
        let found = {
            let mut browsers = self.browsers();
            browsers.retain(|_, browser| browser.last.elapsed() < self.timeout);
            let browser = browsers.get_mut(&id)?;
            browser.last = Instant::now();
            browser.clone()
        };
        if self.still_holds(&found.token, found.role) {
            return Some(found);
        }
        self.browsers().remove(&id);
        None
    }

    fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let cookies = headers.get_all(COOKIE).into_iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
        pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie_name()).then(|| value.to_owned())
        })
    }

    /// With the prefix, browsers take it over HTTPS and for this host alone.
    fn cookie_name(&self) -> &'static str {
        match self.tls {
            true => "__Host-portcullis",
            false => "portcullis",
        }
    }

    fn set_cookie(&self, value: &str, age: Duration) -> Result<HeaderValue, Refused> {
        let secure = if self.tls { "; Secure" } else { "" };
        let cookie = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
            self.cookie_name(),
            age.as_secs()
        );
        HeaderValue::from_str(&cookie).map_err(|error| Refused::wrong(error.to_string()))
    }

    /// The answer to somebody without a right token.
    async fn refuse(&self, peer: IpAddr) -> Refused {
        if FAILED.admits(peer) {
            tracing::warn!(client = %peer, "a token for the administration was refused");
        }
        let Ok(_held_back) = self.held_back.try_acquire() else {
            let text = "too many wrong tokens at a time";
            return Refused::new(StatusCode::TOO_MANY_REQUESTS, text);
        };
        sleep(DELAY).await;
        Refused::new(StatusCode::UNAUTHORIZED, "this token is not known")
    }
}

/// Lets a request through, with who makes it.
pub(super) async fn authorize(
    State(access): State<Arc<Access>>,
    Extension(Peer(peer)): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    match actor(&access, peer, &method, &headers).await {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

async fn actor(
    access: &Access,
    peer: IpAddr,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Actor, Refused> {
    let looks = [Method::GET, Method::HEAD].contains(method);
    let (name, role) = if let Some(given) = headers.get(AUTHORIZATION) {
        let token = given.to_str().ok().and_then(|given| {
            let (scheme, token) = given.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match token.and_then(|token| access.holder(token)) {
            Some(holder) => holder,
            None => return Err(access.refuse(peer).await),
        }
    } else if let Some(browser) = access.browser(headers) {
        let given = headers.get(CSRF).map(HeaderValue::as_bytes);
        if !looks && given != Some(browser.csrf.as_bytes()) {
            let text = "this request did not come from the page: log in again";
            return Err(Refused::new(StatusCode::FORBIDDEN, text));
        }
        (browser.token, browser.role)
    } else {
        let text = "log in with a token, or send one: Authorization: Bearer";
        return Err(Refused::new(StatusCode::UNAUTHORIZED, text));
    };
    if !looks && role == Role::Look {
        let text = format!("the token {name} may look, and not act");
        return Err(Refused::new(StatusCode::FORBIDDEN, text));
    }
    Ok(Actor::Token(name))
}

/// Logs a browser in.
pub(super) async fn log_in(
    State(access): State<Arc<Access>>,
    Extension(Peer(peer)): Extension<Peer>,
    Wanted(Login { token }): Wanted<Login>,
) -> Result<Response, Refused> {
    let Some((name, role)) = access.holder(token.trim()) else {
        return Err(access.refuse(peer).await);
    };
    let (id, csrf) = (random()?, random()?);
    let browser = Browser {
        token: name.clone(),
        role,
        csrf: csrf.clone(),
        last: Instant::now(),
    };
    {
        let mut browsers = access.browsers();
        browsers.retain(|_, browser| browser.last.elapsed() < access.timeout);
        if browsers.len() >= BROWSERS
            && let Some((oldest, _)) = browsers.iter().min_by_key(|(_, browser)| browser.last)
        {
            let oldest = oldest.clone();
            browsers.remove(&oldest);
        }
        browsers.insert(id.clone(), browser);
    }
    tracing::info!(client = %peer, token = name, "somebody has logged in to the administration");
    let cookie = access.set_cookie(&id, Duration::from_secs(86_400))?;
    Ok(([(SET_COOKIE, cookie)], Json(LoggedIn { name, role, csrf })).into_response())
}

/// Tells a browser who it is, after it was loaded anew.
pub(super) async fn who(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
) -> Result<Json<LoggedIn>, Refused> {
    let Some(browser) = access.browser(&headers) else {
        return Err(Refused::new(
            StatusCode::UNAUTHORIZED,
            "log in with a token",
        ));
    };
    Ok(Json(LoggedIn {
        name: browser.token,
        role: browser.role,
        csrf: browser.csrf,
    }))
}

/// Logs a browser out.
pub(super) async fn log_out(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    if let Some(id) = access.cookie(&headers) {
        access.browsers().remove(&id);
    }
    let cookie = access.set_cookie("", Duration::ZERO)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

fn random() -> Result<String, Refused> {
    let mut bytes = [0; 32];
    let filled = rand::fill(&mut bytes);
    filled.map_err(|_| Refused::conflict("the system has no random numbers"))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}
