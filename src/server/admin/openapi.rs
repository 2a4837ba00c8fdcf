//! The description of the API, in OpenAPI 3.1, made of the list of its paths.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    PREFIX, Route,
    messages::{Done, Failed},
};

type SchemaOf = fn(&mut SchemaGenerator) -> Value;

/// One method of a path.
pub(super) struct Operation {
    method: &'static str,
    summary: &'static str,
    query: Option<SchemaOf>,
    body: Option<SchemaOf>,
    answer: Option<SchemaOf>,
}

impl Operation {
    /// A question.
    pub(super) fn get(summary: &'static str) -> Self {
        Self {
            method: "get",
            summary,
            query: None,
            body: None,
            answer: None,
        }
    }

    /// Something to be done.
    pub(super) fn deed(method: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            answer: Some(schema::<Done>),
            ..Self::get(summary)
        }
    }

    /// With these parameters behind the question mark.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(schema::<T>);
        self
    }

    /// With this body.
    pub(super) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema::<T>);
        self
    }

    /// With this answer.
    pub(super) fn answers<T: JsonSchema>(mut self) -> Self {
        self.answer = Some(schema::<T>);
        self
    }

    fn describe(&self, path: &str, generator: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<Value> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        if let Some(query) = self.query {
            let schema = query(generator);
            let member = |name: &str| schema.get(name).cloned().unwrap_or_default();
            let required = member("required").as_array().cloned().unwrap_or_default();
            let properties = member("properties").as_object().cloned();
            let properties = properties.unwrap_or_default();
            parameters.extend(properties.into_iter().map(|(name, schema)| {
                let required = required.contains(&json!(name));
                json!({ "name": name, "in": "query", "required": required, "schema": schema })
            }));
        }
        let answer = match self.answer {
            Some(answer) => answer(generator),
            None => json!({ "type": "object" }),
        };
        let failed = schema::<Failed>(generator);
        let mut operation = json!({
            "summary": self.summary,
            "responses": {
                "200": { "description": "It is done", "content": content(&answer) },
                "default": { "description": "It is not done", "content": content(&failed) },
            },
        });
        if let Some(members) = operation.as_object_mut() {
            if !parameters.is_empty() {
                members.insert("parameters".to_owned(), parameters.into());
            }
            if let Some(body) = self.body {
                let body = json!({ "required": true, "content": content(&body(generator)) });
                members.insert("requestBody".to_owned(), body);
            }
        }
        operation
    }
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// The document.
pub(super) fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.inline_subschemas = true;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes.iter().filter(|route| !route.operations.is_empty()) {
        let methods: Map<String, Value> = route
            .operations
            .iter()
            .map(|operation| {
                let described = operation.describe(route.path, &mut generator);
                (operation.method.to_owned(), described)
            })
            .collect();
        paths.insert(format!("{PREFIX}{}", route.path), methods.into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis administration",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "token": [] }],
    })
}
