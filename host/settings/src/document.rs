//! From the text of `host.toml` to settings.
//!
//! serde reads the keys that this crate defines. Keys of capabilities are removed from each `[[plugin]]` first, and
//! read by the types that the capabilities registered. Every error has its position in the text.

use std::ops::Range;

use bytesize::ByteSize;
use serde::de;
use serde::{Deserialize, Deserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error, ValueDeserializer};

use crate::extension::{Sections, Sizes};
use crate::{Allow, Extension, File};

/// Reads the whole text.
///
/// # Errors
/// The problem and its position.
pub(crate) fn read(text: &str, extensions: &[&'static Extension]) -> Result<File, Error> {
    let read = || -> Result<File, Error> {
        let mut document = DeTable::parse(text)?;
        let added = remove_added(document.get_mut(), extensions)?;
        let file = File::deserialize(Deserializer::from(document));
        let mut file = file.map_err(|error| with_known_keys(error, &added, extensions))?;
        for (plugin, added) in file.plugins.iter_mut().zip(added) {
            (plugin.allow, plugin.sections, plugin.limits.sizes) = (added.allow, added.sections, added.sizes);
        }
        Ok(file)
    };
    read().map_err(|mut error| {
        error.set_input(Some(text));
        error
    })
}

/// The settings of capabilities in one `[[plugin]]`.
#[derive(Default)]
struct Added {
    allow: Vec<Allow>,
    sections: Sections,
    sizes: Sizes,
    /// The positions of the remaining keys of the table.
    keys: Vec<Range<usize>>,
    /// The positions of the remaining keys of `limits`.
    limit_keys: Vec<Range<usize>>,
}

/// Removes the keys of capabilities from every `[[plugin]]`. A value of another form remains, and serde refuses it.
fn remove_added(document: &mut DeTable<'_>, extensions: &[&'static Extension]) -> Result<Vec<Added>, Error> {
    let Some(DeValue::Array(plugins)) = document.get_mut("plugin").map(Spanned::get_mut) else {
        return Ok(Vec::new());
    };
    let plugins = plugins.iter_mut().map(|plugin| match plugin.get_mut() {
        DeValue::Table(plugin) => remove_from(plugin, extensions),
        _ => Ok(Added::default()),
    });
    plugins.collect()
}

fn remove_from(plugin: &mut DeTable<'_>, extensions: &[&'static Extension]) -> Result<Added, Error> {
    let mut added = Added::default();
    if let Some(allow) = plugin.remove("allow") {
        for entry in Vec::<Spanned<String>>::deserialize(ValueDeserializer::from(allow))? {
            let parsed = Allow::parse(entry.get_ref(), extensions);
            added.allow.push(parsed.map_err(|problem| error_at(entry.span(), problem))?);
        }
    }
    for section in extensions.iter().filter_map(|extension| extension.section.as_ref()) {
        if let Some(value) = plugin.remove(section.key) {
            added.sections.push((section.parse)(ValueDeserializer::from(value))?);
        }
    }
    if let Some(DeValue::Table(limits)) = plugin.get_mut("limits").map(Spanned::get_mut) {
        for limit in extensions.iter().flat_map(|extension| extension.limits) {
            if let Some(value) = limits.remove(limit.key) {
                added.sizes.insert(limit, ByteSize::deserialize(ValueDeserializer::from(value))?);
            }
        }
        added.limit_keys = limits.keys().map(Spanned::span).collect();
    }
    added.keys = plugin.keys().map(Spanned::span).collect();
    Ok(added)
}

/// serde lists the keys that it knows in the error about an unknown one; this adds those of the capabilities.
fn with_known_keys(error: Error, added: &[Added], extensions: &[&Extension]) -> Error {
    let Some(position) = error.span().filter(|_| error.message().starts_with("unknown field `")) else {
        return error;
    };
    let is_in =
        |keys: fn(&Added) -> &Vec<Range<usize>>| added.iter().any(|added| keys(added).contains(&position));
    let known: Vec<&str> = if is_in(|added| &added.keys) {
        let sections = extensions.iter().filter_map(|extension| extension.section.as_ref());
        ["allow"].into_iter().chain(sections.map(|section| section.key)).collect()
    } else if is_in(|added| &added.limit_keys) {
        extensions.iter().flat_map(|extension| extension.limits).map(|limit| limit.key).collect()
    } else {
        Vec::new()
    };
    let known: String = known.into_iter().map(|key| format!(", `{key}`")).collect();
    error_at(position, format!("{}{known}", error.message()))
}

/// An error with a position, which toml gives only to errors of a value that it reads.
fn error_at(position: Range<usize>, message: String) -> Error {
    struct Refuse(String);
    impl de::Visitor<'_> for Refuse {
        type Value = Error;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("nothing")
        }
        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Error, E> {
            Err(E::custom(self.0))
        }
    }
    let value = ValueDeserializer::from(Spanned::new(position, DeValue::Boolean(true)));
    value.deserialize_any(Refuse(message)).unwrap_or_else(|error| error)
}
