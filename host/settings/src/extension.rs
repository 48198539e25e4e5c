//! The settings that a capability adds to a plugin: entries of `allow`, a table, keys of `[plugin.limits]`.
//!
//! A capability describes its settings in an [`Extension`]. [`crate::File::parse`] and [`crate::reference`] receive
//! the extensions as an argument; this crate contains none.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use toml::de::{Error, ValueDeserializer};

use crate::Value;

/// The settings of one capability.
#[derive(Debug)]
pub struct Extension {
    /// Its entries of `allow`.
    pub allow: &'static [AllowEntry],
    /// Its table in `[[plugin]]`.
    pub section: Option<SectionType>,
    /// Its keys in `[plugin.limits]`.
    pub limits: &'static [SizeLimit],
}

/// A kind of entry of `allow`.
#[derive(Debug)]
pub struct AllowEntry {
    /// Its form, as an error message lists it: `` `mail` `` or `a URL`.
    pub form: &'static str,
    /// Its description in the reference; Markdown.
    pub about: &'static str,
    /// An example.
    pub example: &'static str,
    /// Whether it grants the capability; otherwise it extends a grant.
    pub grants: bool,
    /// Whether an entry is of this kind. No entry may be of two kinds.
    pub matches: fn(&str) -> bool,
    /// Parses an entry of this kind and returns its canonical form. The error names the problem.
    pub parse: fn(&str) -> Result<String, String>,
}

/// A limit in bytes that a capability adds to those of a call.
#[derive(Debug, PartialEq, Eq)]
pub struct SizeLimit {
    /// Its key in `[plugin.limits]`.
    pub key: &'static str,
    /// Its description in the reference.
    pub about: &'static str,
    /// Its default in bytes.
    pub default: usize,
    /// The code of the failure if it is exceeded.
    pub code: &'static str,
    /// The detail of that failure, which the limit follows: `an e-mail has more than`.
    pub detail: &'static str,
    /// Whether the guest may pass that much to the host in one call of an import. Otherwise it passes it in
    /// parts.
    pub in_one_call: bool,
}

/// The settings of one capability for one plugin, as its table has them.
pub trait Section: Any + fmt::Debug + Send + Sync {
    /// A copy.
    fn boxed(&self) -> Box<dyn Section>;

    /// Every value that may be in the environment or in a file.
    fn values_mut(&mut self) -> Vec<&mut Value> {
        Vec::new()
    }

    /// The tables as `host config show` prints them: only keys that are set, and no secrets.
    fn tables(&self) -> Vec<ShownTable>;
}

/// A table as `host config show` prints it.
#[derive(Debug)]
pub struct ShownTable {
    /// With its brackets: `[plugin.mail]`.
    pub heading: String,
    /// Keys and values in order.
    pub lines: Vec<(String, toml::Value)>,
}

impl Clone for Box<dyn Section> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

/// The type of a capability's table.
#[derive(Debug)]
pub struct SectionType {
    /// The key in `[[plugin]]`.
    pub key: &'static str,
    /// The name of one table in the reference, if the section is a map of tables.
    pub(crate) example: Option<&'static str>,
    pub(crate) parse: fn(ValueDeserializer<'_>) -> Result<Box<dyn Section>, Error>,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl SectionType {
    /// One table, `[plugin.KEY]`. The doc comments of `T` become its reference.
    pub const fn table<T: Section + DeserializeOwned + JsonSchema>(key: &'static str) -> Self {
        Self { key, example: None, parse: parse::<T>, schema: SchemaGenerator::subschema_for::<T> }
    }

    /// A map of tables, `[plugin.KEY."NAME"]`, with an example of a name.
    pub const fn map<T: Section + DeserializeOwned + JsonSchema>(
        key: &'static str,
        example: &'static str,
    ) -> Self {
        let example = Some(example);
        Self { key, example, parse: parse::<T>, schema: SchemaGenerator::subschema_for::<T> }
    }
}

fn parse<T: Section + DeserializeOwned>(value: ValueDeserializer<'_>) -> Result<Box<dyn Section>, Error> {
    Ok(Box::new(T::deserialize(value)?))
}

/// The capabilities' tables of one plugin, in the order of registration.
#[derive(Debug, Clone, Default)]
pub struct Sections(Vec<Box<dyn Section>>);

impl Sections {
    /// The table of this type, if there is one.
    pub fn get<T: Section>(&self) -> Option<&T> {
        self.0.iter().find_map(|section| (&**section as &dyn Any).downcast_ref())
    }

    /// Adds a table.
    pub fn push(&mut self, section: Box<dyn Section>) {
        self.0.push(section);
    }

    /// All tables as `host config show` prints them.
    pub fn tables(&self) -> impl Iterator<Item = ShownTable> {
        self.0.iter().flat_map(|section| section.tables())
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0.iter_mut().flat_map(|section| section.values_mut())
    }
}

/// The limits of `[plugin.limits]` that capabilities add, as far as they are set.
#[derive(Debug, Clone, Default)]
pub struct Sizes(pub(crate) BTreeMap<&'static str, ByteSize>);

impl Sizes {
    /// The limit, if it is set.
    pub fn get(&self, limit: &SizeLimit) -> Option<ByteSize> {
        self.0.get(limit.key).copied()
    }

    /// Sets a limit.
    pub fn insert(&mut self, limit: &SizeLimit, size: ByteSize) {
        self.0.insert(limit.key, size);
    }
}
