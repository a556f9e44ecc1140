//! `#[derive(Shared)]`: types that may lie in memory that processes share.
//!
//! The macro itself; what it checks and writes is in `expand`. It is used through `bifolio::share`.

use proc_macro::TokenStream;

mod expand;
mod repr;

/// Implements `Shared` for a struct, or for an enum without fields, and checks what that promises.
///
/// - A struct says `#[repr(C)]` or `#[repr(transparent)]`, all of its fields are `Shared`, and
///   there is no padding between or behind them: name it as a field of bytes. Type parameters are
///   `Shared`, too; what depends on them is checked where the type is first used.
/// - An enum says `#[repr(u8)]`, or another integer of fixed size, and one of its variants is 0.
/// - Neither implements `Drop`, and no union is taken.
///
/// The fingerprint tells apart what differs in name, in size or alignment, in the names, order or
/// types of fields, in the names or values of variants, or in constant parameters.
///
/// `#[shared(crate = "path")]` says where `Shared` and `Fingerprint` are, when not in
/// `::bifolio::share`.
#[proc_macro_derive(Shared, attributes(shared))]
pub fn shared(item: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(item as syn::DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
