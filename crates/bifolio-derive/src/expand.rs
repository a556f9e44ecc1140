//! The implementation that `#[derive(Shared)]` writes, with the checks that make it true.
//!
//! Of the promises that `Shared` numbers:
//!
//! 0. The layout is fixed because `repr` is asked for; that no byte is padding is a constant
//!    assertion: the size is the sum of the sizes of the fields.
//! 1. No pointer: each field is `Shared`, asked for by naming its fingerprint.
//! 2. Zeros are a value of a struct as they are of its fields; of an enum, a variant must be 0.
//! 3. No drop glue: the fields have none, and a second implementation of a trait that every `Drop`
//!    type has is refused by the compiler.
//! 4. The fingerprint is chained over all names and types.
//!
//! For a type without parameters the assertions are checked where it is declared. With parameters
//! they are checked where the fingerprint is first used, before any value reaches a region.
//!
//! # Safety
//!
//! The text that is written implements an unsafe trait; the list above says why that is sound.
#![allow(unsafe_code, reason = "writes implementations of an unsafe trait")]

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DataEnum, DeriveInput, Fields, GenericParam, Generics, Ident, Path, Result, parse_quote,
};

use crate::repr::{Repr, refusal, trait_crate};

/// The assertions of a type, and the constant expression of its fingerprint.
struct Body {
    checks: TokenStream,
    fingerprint: TokenStream,
}

/// The implementation for one type.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let krate = trait_crate(&input.attrs)?;
    let repr = Repr::of(&input.attrs)?;
    let name = &input.ident;
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let why = format!("`{}` is the life of something in one process only", lifetime.lifetime);
        return Err(refusal(name, &why));
    }
    let body = match &input.data {
        Data::Struct(data) if repr.fixed => of_struct(name, &data.fields, &krate),
        Data::Struct(_) => {
            let why = "its layout is not fixed: add `#[repr(C)]` or `#[repr(transparent)]`";
            return Err(refusal(name, why));
        }
        Data::Enum(data) => of_enum(name, data, &repr, &krate)?,
        Data::Union(_) => {
            return Err(refusal(name, "nobody knows which field of a union holds a value"));
        }
    };
    Ok(implementation(input, &krate, &body))
}

fn of_struct(name: &Ident, fields: &Fields, krate: &Path) -> Body {
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let padding = format!(
        "`{name}` cannot be shared: it has padding; make that a field of bytes, or order the \
         fields by alignment"
    );
    let named = fields.iter().enumerate().map(|(index, field)| {
        let name = field.ident.as_ref().map_or(index.to_string(), Ident::to_string);
        let ty = &field.ty;
        quote_spanned!(ty.span()=> .field(#name, <#ty as #krate::Shared>::FINGERPRINT))
    });
    let fingerprint = quote!(#(#named)*);
    let checks = quote! {
        ::core::assert!(
            ::core::mem::size_of::<Self>() == 0 #(+ ::core::mem::size_of::<#types>())*,
            #padding
        );
    };
    Body { checks, fingerprint }
}

fn of_enum(name: &Ident, data: &DataEnum, repr: &Repr, krate: &Path) -> Result<Body> {
    let Some(integer) = &repr.integer else {
        return Err(refusal(name, "its layout is not fixed: add `#[repr(u32)]` or the like"));
    };
    if let Some(variant) = data.variants.iter().find(|variant| !variant.fields.is_empty()) {
        let why = format!("its variant `{}` has fields", variant.ident);
        return Err(refusal(name, &why));
    }
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let texts = variants.iter().map(ToString::to_string);
    let zero = format!("`{name}` cannot be shared: none of its variants is 0");
    // Through the integer of the enum, so that every value has one form.
    let value = |variant: &&Ident| quote!(Self::#variant as #integer as u64);
    let (values, numbers) = (variants.iter().map(value), variants.iter().map(value));
    let checks = quote! {
        ::core::assert!(false #(|| #values == 0)*, #zero);
    };
    let sign = integer.to_string();
    let fingerprint = quote! {
        .field(#sign, #krate::Fingerprint::of("enum"))
            #(.field(#texts, #krate::Fingerprint::of("variant")).number(#numbers))*
    };
    Ok(Body { checks, fingerprint })
}

fn implementation(input: &DeriveInput, krate: &Path, body: &Body) -> TokenStream {
    let Body { checks, fingerprint } = body;
    let name = &input.ident;
    let generics = bounded(&input.generics, krate);
    let (with_bounds, arguments, conditions) = generics.split_for_impl();
    let text = name.to_string();
    let constants = input.generics.const_params().map(|parameter| &parameter.ident);
    // Without parameters, an unused type is checked as well.
    let at_once = input.generics.params.is_empty().then(|| {
        quote! {
            const _: #krate::Fingerprint = <#name as #krate::Shared>::FINGERPRINT;
        }
    });
    let drops = format!("`{name}` cannot be shared: it has drop glue");
    quote! {
        #[automatically_derived]
        // SAFETY: the header goes through the promises of the trait.
        unsafe impl #with_bounds #krate::Shared for #name #arguments #conditions {
            const FINGERPRINT: #krate::Fingerprint = {
                #checks
                ::core::assert!(!::core::mem::needs_drop::<Self>(), #drops);
                #krate::Fingerprint::of_type::<Self>(#text)
                    #(.number(#constants as u64))*
                    #fingerprint
            };
        }

        #at_once
    }
}

/// The parameters, with all types among them `Shared`.
fn bounded(generics: &Generics, krate: &Path) -> Generics {
    let mut generics = generics.clone();
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(#krate::Shared));
        }
    }
    generics
}
