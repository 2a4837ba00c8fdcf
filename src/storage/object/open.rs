//! Clients of engines, as they are configured.

use std::{fs, path::Path, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential},
    azure::MicrosoftAzureBuilder,
    client::{HttpConnector, ReqwestConnector},
    gcp::GoogleCloudStorageBuilder,
};

use super::{super::OpenError, engine::Engine, s3::S3};
use crate::config::{self, StorageKind};

/// Until a connection stands, and until something comes by one.
const CONNECT: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_secs(30);
/// Connections that are kept for the next request.
const IDLE: usize = 256;

/// The key at which something is wrong, and the reason.
type Wrong = (&'static str, String);

/// A client for a storage of the configuration. Sends nothing yet.
pub(super) fn engine(name: &str, config: &config::Storage) -> Result<Engine, OpenError> {
    let made = match config.kind {
        StorageKind::Local => Err(("kind", "a local directory has no engine".to_owned())),
        StorageKind::S3 => s3(config),
        StorageKind::Gcs => gcs(config),
        StorageKind::Azure => azure(config),
    };
    made.map_err(|(key, text)| OpenError::new(name, key, text))
}

fn engine_of<S>(store: S, s3: Option<S3>) -> Engine
where
    S: object_store::ObjectStore
        + object_store::multipart::MultipartStore
        + object_store::list::PaginatedListStore,
{
    let store = Arc::new(store);
    Engine {
        multipart: store.clone(),
        paginated: store.clone(),
        store,
        s3,
    }
}

fn wrong(key: &'static str) -> impl FnOnce(object_store::Error) -> Wrong {
    move |error| (key, super::error::explained(&error))
}

fn read(file: &Path, key: &'static str) -> Result<String, Wrong> {
    fs::read_to_string(file).map_err(|error| (key, format!("{}: {error}", file.display())))
}

/// Tries again what a busy engine or a lost connection may make fail, for some seconds.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(10),
    }
}

fn options(config: &config::Storage) -> Result<ClientOptions, Wrong> {
    let plain = config.endpoint.as_ref();
    let plain = plain.is_some_and(|url| url.to_ascii_lowercase().starts_with("http:"));
    let mut options = ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_pool_max_idle_per_host(IDLE);
    if let Some(file) = &config.authorities {
        let pem = read(file, "authorities")?;
        let all = Certificate::from_pem_bundle(pem.as_bytes()).map_err(wrong("authorities"))?;
        if all.is_empty() {
            let text = format!("{}: no certificate is in it", file.display());
            return Err(("authorities", text));
        }
        for authority in all {
            options = options.with_root_certificate(authority);
        }
    }
    Ok(options)
}

fn bucket(config: &config::Storage) -> &str {
    config.bucket.as_deref().unwrap_or_default()
}

fn s3(config: &config::Storage) -> Result<Engine, Wrong> {
    let (options, bucket) = (options(config)?, bucket(config));
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(options.clone())
        .with_retry(retries());
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(file) = &config.credentials {
        let credentials = aws_credentials(&read(file, "credentials")?).ok_or_else(|| {
            let text =
                "has no profile \"default\" with aws_access_key_id and aws_secret_access_key";
            ("credentials", format!("{}: {text}", file.display()))
        })?;
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credentials)));
    }
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let endpoint = config
        .endpoint
        .clone()
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
        .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let endpoint = endpoint.trim_end_matches('/');
    let url = match (config.path_style, endpoint.split_once("://")) {
        (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
        _ => format!("{endpoint}/{bucket}"),
    };
    let store = builder
        .with_region(&region)
        .with_endpoint(&url)
        // The URL has the bucket in it, whichever way that is named.
        .with_virtual_hosted_style_request(true)
        .build()
        .map_err(wrong("kind"))?;
    let client = ReqwestConnector::default()
        .connect(&options)
        .map_err(wrong("kind"))?;
    let s3 = S3 {
        client,
        credentials: store.credentials().clone(),
        region,
        url,
        bucket: bucket.to_owned(),
    };
    Ok(engine_of(store, Some(s3)))
}

/// The profile "default" of a file such as `~/.aws/credentials`.
fn aws_credentials(text: &str) -> Option<AwsCredential> {
    let mut profile = "";
    let (mut key_id, mut secret_key, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            profile = name.trim();
        } else if profile == "default"
            && let Some((key, value)) = line.split_once('=')
        {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential {
        key_id: key_id?,
        secret_key: secret_key?,
        token,
    })
}

fn gcs(config: &config::Storage) -> Result<Engine, Wrong> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket(config))
        .with_client_options(options(config)?)
        .with_retry(retries());
    if let Some(file) = &config.credentials {
        builder = builder.with_service_account_key(read(file, "credentials")?);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    Ok(engine_of(builder.build().map_err(wrong("kind"))?, None))
}

fn azure(config: &config::Storage) -> Result<Engine, Wrong> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(bucket(config))
        .with_client_options(options(config)?)
        .with_retry(retries());
    if let Some(account) = &config.account {
        builder = builder.with_account(account);
    }
    if let Some(file) = &config.credentials {
        builder = builder.with_access_key(read(file, "credentials")?.trim());
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    Ok(engine_of(builder.build().map_err(wrong("kind"))?, None))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_counts() {
        let text = "[other]\naws_access_key_id = a\naws_secret_access_key = b\n\n\
                    [default]\n aws_access_key_id=id\naws_secret_access_key = a=b/c \n# end\n";
        let found = aws_credentials(text).unwrap();
        assert_eq!((&*found.key_id, &*found.secret_key), ("id", "a=b/c"));
        assert!(found.token.is_none());
        assert!(aws_credentials("[default]\naws_access_key_id = a\n").is_none());
        assert!(aws_credentials("aws_access_key_id = a\naws_secret_access_key = b").is_none());
    }
}
