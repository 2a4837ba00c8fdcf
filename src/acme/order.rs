//! One order at an authority.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::Request;
use http_body_util::Full;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse,
    CertificateIdentifier, ChallengeType, ExternalAccountKey, HttpClient, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};

use super::{
    Error,
    challenges::{Challenges, Shown, published, put_record},
};
use crate::{
    config::{self, Challenge},
    http_client,
};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the authority may take to look, and to sign.
const DECIDED: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(300));

/// Requests by the server's own client.
struct Client(Arc<http_client::HttpClient>);

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let url = request.uri().clone();
            let answer = client
                .send(request)
                .await
                .map_err(|error| instant_acme::Error::Other(format!("{url}: {error}").into()))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

/// Accounts at the configured authority.
pub(super) fn client(config: &config::Acme) -> Result<AccountBuilder, Error> {
    let client = http_client::HttpClient::new(config.authorities.as_deref(), PATIENCE)?;
    Ok(Account::builder_with_http(Box::new(Client(Arc::new(
        client,
    )))))
}

/// A new account; the one that is there, where the authority knows the external key.
pub(super) async fn new_account(
    builder: AccountBuilder,
    config: &config::Acme,
) -> Result<(Account, AccountCredentials), Error> {
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let account = NewAccount {
        contact: &contact,
        terms_of_service_agreed: config.agree_to_terms,
        only_return_existing: false,
    };
    let external = match (&config.external_account, &config.external_account_key) {
        (Some(id), Some(file)) => {
            let problem = |text: &dyn std::fmt::Display| {
                Error(format!(
                    "acme.external-account-key: {}: {text}",
                    file.display()
                ))
            };
            let text = config::regular::read(file).map_err(|error| problem(&error))?;
            let key = BASE64URL_NOPAD.decode(bare(&text));
            let key = key.map_err(|error| problem(&error))?;
            Some(ExternalAccountKey::new(id.clone(), &key))
        }
        _ => None,
    };
    let made = builder.create(&account, config.directory.clone(), external.as_ref());
    Ok(made.await?)
}

/// Without line ends and padding.
fn bare(base64: &[u8]) -> &[u8] {
    let text = base64.trim_ascii();
    let end = text.iter().rposition(|byte| *byte != b'=');
    text.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

/// Orders a certificate, shows whose the names are, and gives the chain and its key, both PEM.
pub(super) async fn obtain(
    account: &Account,
    config: &config::Acme,
    challenges: &Arc<Challenges>,
    replaces: Option<CertificateIdentifier<'_>>,
) -> Result<(String, String), Error> {
    let names: Vec<Identifier> = config.names.iter().cloned().map(Identifier::Dns).collect();
    let mut new = NewOrder::new(&names);
    if let Some(replaced) = replaces {
        new = new.replaces(replaced);
    }
    let mut order = account.new_order(&new).await?;
    let shown = show_all(&mut order, config, challenges).await?;
    let status = order.poll_ready(&DECIDED).await?;
    drop(shown);
    if status != OrderStatus::Ready {
        let why = refusal(&mut order).await;
        return Err(why
            .unwrap_or_else(|| format!("the order is {status:?}"))
            .into());
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&DECIDED).await?;
    Ok((chain, key))
}

/// Shows whose the names are, and has the authority look once all is shown.
async fn show_all(
    order: &mut Order,
    config: &config::Acme,
    challenges: &Arc<Challenges>,
) -> Result<Vec<Shown>, Error> {
    let kind = match config.challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Dns01 => ChallengeType::Dns01,
    };
    let mut shown = Vec::new();
    // A name and its wildcard have one record, with two values.
    let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => return Err(format!("an authorization is {status:?}").into()),
        }
        let name = authorization.identifier();
        let Identifier::Dns(name) = name.identifier.clone() else {
            return Err("the authority asks for something else than a DNS name".into());
        };
        let challenge = authorization.challenge(kind.clone()).ok_or_else(|| {
            let kind = serde_json::to_string(&config.challenge).unwrap_or_default();
            Error(format!(
                "the authority takes no challenge {kind} for {name}"
            ))
        })?;
        let key = challenge.key_authorization();
        match config.challenge {
            Challenge::Http01 => shown.push(challenges.show_token(&challenge.token, key.as_str())),
            Challenge::TlsAlpn01 => shown.push(challenges.show_name(&name, key.digest().as_ref())?),
            Challenge::Dns01 => records.entry(name).or_default().push(key.dns_value()),
        }
    }
    for (name, values) in &records {
        shown.push(put_record(&config.dns_directory, name, values)?);
    }
    published(&shown).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Pending
            && let Some(mut challenge) = authorization.challenge(kind.clone())
        {
            challenge.set_ready().await?;
        }
    }
    Ok(shown)
}

/// Why the authority refuses: its words about a challenge.
async fn refusal(order: &mut Order) -> Option<String> {
    let mut all = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else {
            continue;
        };
        let _ = authorization.refresh().await;
        let name = authorization.identifier().to_string();
        let errors = authorization.challenges.iter();
        let errors = errors.filter_map(|challenge| challenge.error.as_ref());
        all.extend(errors.map(|error| format!("{name}: {error}")));
    }
    let order = order.state().error.as_ref();
    all.extend(order.map(ToString::to_string));
    (!all.is_empty()).then(|| all.join("; "))
}
