//! What the attributes of a type say: its layout, and where the trait is.

use proc_macro2::Span;
use syn::{Attribute, Ident, LitStr, Path, Result, Token};

const INTEGERS: &[&str] = &["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];

/// The layouts that are the same in each program.
#[derive(Default)]
pub(crate) struct Repr {
    /// `repr(C)` or `repr(transparent)`.
    pub(crate) fixed: bool,
    /// The integer of an enum.
    pub(crate) integer: Option<Ident>,
}

impl Repr {
    /// Of all `repr` attributes together.
    pub(crate) fn of(attributes: &[Attribute]) -> Result<Repr> {
        let mut repr = Repr::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("repr")) {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.require_ident()?;
                if name == "C" || name == "transparent" {
                    repr.fixed = true;
                } else if INTEGERS.iter().any(|integer| name == integer) {
                    repr.integer = Some(name.clone());
                } else if meta.input.peek(syn::token::Paren) {
                    // align(8), packed(1): the checks of size see what they do.
                    let argument;
                    syn::parenthesized!(argument in meta.input);
                    argument.parse::<syn::LitInt>()?;
                }
                Ok(())
            })?;
        }
        Ok(repr)
    }
}

/// Where the trait is: what `#[shared(crate = "path")]` says, or the facade.
pub(crate) fn trait_crate(attributes: &[Attribute]) -> Result<Path> {
    let mut path = syn::parse_str::<Path>("::bifolio::share")?;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("shared")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("only `crate = \"path\"` is known here"));
            }
            meta.input.parse::<Token![=]>()?;
            path = meta.input.parse::<LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}

/// An error about the whole type.
pub(crate) fn refusal(name: &Ident, why: &str) -> syn::Error {
    syn::Error::new(Span::call_site(), format!("`{name}` cannot be shared: {why}"))
}
