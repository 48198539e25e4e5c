//! From the text of `host.toml` to settings.
//!
//! serde reads what this crate knows. Keys of capabilities are taken out of each `[[plugin]]` before, and read by
//! the types that the capabilities registered. Every error has its place in the text.

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
/// What is wrong, and where.
pub(crate) fn read(text: &str, extensions: &[&'static Extension]) -> Result<File, Error> {
    let read = || -> Result<File, Error> {
        let mut document = DeTable::parse(text)?;
        let added = take(document.get_mut(), extensions)?;
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

/// What capabilities added to one `[[plugin]]`.
#[derive(Default)]
struct Added {
    allow: Vec<Allow>,
    sections: Sections,
    sizes: Sizes,
    /// The places of the keys left in the table.
    keys: Vec<Range<usize>>,
    /// The places of the keys left in `limits`.
    limit_keys: Vec<Range<usize>>,
}

/// Takes the keys of capabilities out of every `[[plugin]]`. A value of another form is left for serde to refuse.
fn take(document: &mut DeTable<'_>, extensions: &[&'static Extension]) -> Result<Vec<Added>, Error> {
    let Some(DeValue::Array(plugins)) = document.get_mut("plugin").map(Spanned::get_mut) else {
        return Ok(Vec::new());
    };
    let plugins = plugins.iter_mut().map(|plugin| match plugin.get_mut() {
        DeValue::Table(plugin) => take_from(plugin, extensions),
        _ => Ok(Added::default()),
    });
    plugins.collect()
}

fn take_from(plugin: &mut DeTable<'_>, extensions: &[&'static Extension]) -> Result<Added, Error> {
    let mut added = Added::default();
    if let Some(allow) = plugin.remove("allow") {
        for entry in Vec::<Spanned<String>>::deserialize(ValueDeserializer::from(allow))? {
            let parsed = Allow::parse(entry.get_ref(), extensions);
            added.allow.push(parsed.map_err(|what| error_at(entry.span(), what))?);
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
    let Some(place) = error.span().filter(|_| error.message().starts_with("unknown field `")) else {
        return error;
    };
    let is_in =
        |keys: fn(&Added) -> &Vec<Range<usize>>| added.iter().any(|added| keys(added).contains(&place));
    let known: Vec<&str> = if is_in(|added| &added.keys) {
        let sections = extensions.iter().filter_map(|extension| extension.section.as_ref());
        ["allow"].into_iter().chain(sections.map(|section| section.key)).collect()
    } else if is_in(|added| &added.limit_keys) {
        extensions.iter().flat_map(|extension| extension.limits).map(|limit| limit.key).collect()
    } else {
        Vec::new()
    };
    let known: String = known.into_iter().map(|key| format!(", `{key}`")).collect();
    error_at(place, format!("{}{known}", error.message()))
}

/// An error with a place, which toml gives only to errors of a value that it reads.
fn error_at(place: Range<usize>, what: String) -> Error {
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
    let value = ValueDeserializer::from(Spanned::new(place, DeValue::Boolean(true)));
    value.deserialize_any(Refuse(what)).unwrap_or_else(|error| error)
}
