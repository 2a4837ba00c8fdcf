//! Types for `#[serde(with = "…")]` and `#[schemars(with = "…")]`: they read and write a field, and
//! say its form in the JSON schema.

use std::{borrow::Cow, fmt, marker::PhantomData, net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
};
use serde_json::Value;

use super::form::{Form, ModeForm, PathForm, PortsForm, RateForm, SizeForm, TimeForm};

/// Time: "5m", "250ms", "1h 30m", "7d", or an integer of seconds.
pub type Time = Quantity<TimeForm>;
/// Bytes: "10MiB", "2GB", "1.5 KiB", or an integer.
pub type Size = Quantity<SizeForm>;
/// Bytes, or nothing where the key is not there.
pub type OptionalSize = Optional<SizeForm>;
/// Bytes a second, written as a size.
pub type Rate = Quantity<RateForm>;
/// A range of ports: "10000-30000", "40000", 40000 or [10000, 30000].
pub type Ports = Quantity<PortsForm>;
/// A file mode in octal digits: "0644".
pub type Mode = Quantity<ModeForm>;
/// A path.
pub type FilePath = Quantity<PathForm>;
/// A path, or nothing where the key is not there.
pub type OptionalPath = Optional<PathForm>;
/// Time, or nothing where the key is not there.
pub type OptionalTime = Optional<TimeForm>;
/// Bytes a second, or nothing where the key is not there.
pub type OptionalRate = Optional<RateForm>;
/// A range of ports, or nothing where the key is not there.
pub type OptionalPorts = Optional<PortsForm>;

/// Reads and writes a value in its form.
pub struct Quantity<F>(PhantomData<F>);

impl<F: Form> Quantity<F> {
    /// For `#[serde(with = "…")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<F::Value, D::Error> {
        source.deserialize_any(Self(PhantomData))
    }

    /// For `#[serde(with = "…")]`.
    pub fn serialize<S: Serializer>(value: &F::Value, target: S) -> Result<S::Ok, S::Error> {
        F::write(value).serialize(target)
    }
}

/// The same of a key that can be left out.
pub struct Optional<F>(PhantomData<F>);

impl<F: Form> Optional<F> {
    /// For `#[serde(with = "…")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Option<F::Value>, D::Error> {
        Quantity::<F>::deserialize(source).map(Some)
    }

    /// For `#[serde(with = "…")]`.
    pub fn serialize<S: Serializer>(
        value: &Option<F::Value>,
        target: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(F::write).serialize(target)
    }
}

impl<F: Form> JsonSchema for Quantity<F> {
    fn schema_name() -> Cow<'static, str> {
        F::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = F::schema();
        schema.insert(FORM.to_owned(), F::NAME.into());
        schema
    }
}

impl<F: Form> JsonSchema for Optional<F> {
    fn schema_name() -> Cow<'static, str> {
        F::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Quantity::<F>::json_schema(generator)
    }
}

/// Paths: one, or an array of them.
pub enum Paths {}

impl Paths {
    /// For `#[serde(with = "…")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<PathBuf>, D::Error> {
        source.deserialize_any(PathsVisitor)
    }

    /// For `#[serde(with = "…")]`.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], target: S) -> Result<S::Ok, S::Error> {
        match paths {
            [one] => PathForm::write(one).serialize(target),
            more => target.collect_seq(more.iter().map(PathForm::write)),
        }
    }
}

/// The same, or nothing where the key is not there.
pub enum OptionalPaths {}

impl OptionalPaths {
    /// For `#[serde(with = "…")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        source: D,
    ) -> Result<Option<Vec<PathBuf>>, D::Error> {
        Paths::deserialize(source).map(Some)
    }

    /// For `#[serde(with = "…")]`.
    pub fn serialize<S: Serializer>(
        paths: &Option<Vec<PathBuf>>,
        target: S,
    ) -> Result<S::Ok, S::Error> {
        match paths {
            Some(paths) => Paths::serialize(paths, target),
            None => target.serialize_none(),
        }
    }
}

impl JsonSchema for OptionalPaths {
    fn schema_name() -> Cow<'static, str> {
        Paths::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Paths::json_schema(generator)
    }
}

struct PathsVisitor;

impl<'de> Visitor<'de> for PathsVisitor {
    type Value = Vec<PathBuf>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path, or an array of paths")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let path = PathForm::from_text(text);
        let path = path.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
        Ok(vec![path])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut paths = Vec::new();
        while let Some(OnePath(path)) = list.next_element()? {
            paths.push(path);
        }
        Ok(paths)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct OnePath(#[serde(with = "FilePath")] PathBuf);

impl JsonSchema for Paths {
    fn schema_name() -> Cow<'static, str> {
        "paths".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = FilePath::json_schema(generator);
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Networks: one, or an array of them; an address is a network of its own.
pub enum Networks {}

impl Networks {
    /// For `#[serde(with = "…")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<IpNet>, D::Error> {
        source.deserialize_any(NetworksVisitor)
    }

    /// For `#[serde(with = "…")]`.
    pub fn serialize<S: Serializer>(networks: &[IpNet], target: S) -> Result<S::Ok, S::Error> {
        match networks {
            [one] => one.serialize(target),
            more => more.serialize(target),
        }
    }

    fn parse(text: &str) -> Option<IpNet> {
        let address = text.parse::<IpAddr>().ok();
        let address = address.map(|address| IpNet::from(address.to_canonical()));
        address.or_else(|| text.parse().ok())
    }
}

struct NetworksVisitor;

impl<'de> Visitor<'de> for NetworksVisitor {
    type Value = Vec<IpNet>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a network such as \"10.0.0.0/8\", or an array of networks")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let network = Networks::parse(text);
        let network = network.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
        Ok(vec![network])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut networks = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            let network = Networks::parse(&text);
            let wrong = || A::Error::invalid_value(Unexpected::Str(&text), &self);
            networks.push(network.ok_or_else(wrong)?);
        }
        Ok(networks)
    }
}

impl JsonSchema for Networks {
    fn schema_name() -> Cow<'static, str> {
        "networks".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = Network::json_schema(generator);
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// The word of a JSON schema that names a value's form.
pub const FORM: &str = "x-form";

/// Defines types for `#[schemars(with = "…")]` that are text of a form of its own.
macro_rules! texts {
    ($($(#[$attribute:meta])* $type:ident: $name:literal,)*) => {
        $($(#[$attribute])*
        pub enum $type {}

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "x-form": $name })
            }
        })*
    };
}

texts! {
    /// An address and a port.
    Socket: "address:port",
    /// An address with the length of its prefix.
    Network: "network",
    /// A name that DNS can have.
    DnsName: "DNS name",
    /// One of both.
    Address: "IPv4 address or DNS name",
    /// Hosts or networks, and a port.
    Endpoint: "host:port or network:port",
    /// Scheme, host and port.
    Url: "URL",
}

/// The number that the bounds of a schema apply to.
pub fn amount(form: Option<&str>, value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text,
        other => return other.as_f64(),
    };
    match form? {
        TimeForm::NAME => TimeForm::from_text(text).map(|time| time.as_secs_f64()),
        // No size is so large that it matters.
        #[allow(clippy::cast_precision_loss)]
        SizeForm::NAME | RateForm::NAME => SizeForm::from_text(text).map(|bytes| bytes as f64),
        _ => None,
    }
}

/// A bound of a schema as it would be written in the configuration.
pub fn bound(form: Option<&str>, number: &Value) -> String {
    let written = match form {
        Some(TimeForm::NAME) => number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(|time| TimeForm::write(&time)),
        Some(SizeForm::NAME | RateForm::NAME) => number.as_u64().map(|size| SizeForm::write(&size)),
        _ => None,
    };
    match written.unwrap_or_else(|| number.clone()) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl<'de, F: Form> Visitor<'de> for Quantity<F> {
    type Value = F::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(F::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        F::from_text(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        u64::try_from(number)
            .ok()
            .and_then(F::from_integer)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        F::from_integer(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let pair = (
            list.next_element()?,
            list.next_element()?,
            list.next_element::<u64>()?,
        );
        match pair {
            (Some(first), Some(last), None) => F::from_pair(first, last),
            _ => None,
        }
        .ok_or_else(|| A::Error::invalid_value(Unexpected::Seq, &self))
    }
}
