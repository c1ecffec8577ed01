//! The input of a derive: a struct and its members.

use proc_macro2::Span;
use quote::format_ident;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Generics, Ident, Index, Member, Result, Type, Visibility,
    ext::IdentExt as _,
};

/// The derive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Members of one element type.
    Tensors,
    /// Members of any element types.
    Summand,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Tensors => "Tensors",
            Self::Summand => "Summand",
        }
    }
}

/// A struct of tensors.
pub(crate) struct Model<'a> {
    pub(crate) kind: Kind,
    pub(crate) visibility: &'a Visibility,
    pub(crate) name: &'a Ident,
    pub(crate) generics: &'a Generics,
    /// The name of the generic struct that the derive defines.
    pub(crate) of: Ident,
    pub(crate) members: Vec<ModelMember<'a>>,
    /// Whether members have names.
    pub(crate) is_named: bool,
}

/// A member of a struct of tensors.
pub(crate) struct ModelMember<'a> {
    /// The member's name or index in code.
    pub(crate) member: Member,
    /// The member's name in a structure of tensors.
    pub(crate) name: Option<String>,
    pub(crate) ty: &'a Type,
    /// The names of a variable and of a type parameter for it.
    pub(crate) variable: Ident,
    pub(crate) parameter: Ident,
}

impl<'a> Model<'a> {
    pub(crate) fn new(input: &'a DeriveInput, kind: Kind) -> Result<Self> {
        let DeriveInput { vis: visibility, ident: name, generics, data, .. } = input;
        let refused = |found: &str| {
            let derive = kind.name();
            Error::new_spanned(
                name,
                format!(
                    "`derive({derive})` takes a struct whose members are tensors, and `{name}` is {found}"
                ),
            )
        };
        let fields = match data {
            Data::Struct(data) => &data.fields,
            Data::Enum(_) => return Err(refused("an enum: tensors do not depend on a choice")),
            Data::Union(_) => return Err(refused("a union")),
        };
        if fields.is_empty() {
            return Err(refused("a struct without members"));
        }
        let members =
            fields.iter().enumerate().map(|(number, field)| ModelMember::new(number, field)).collect();
        Ok(Self {
            kind,
            visibility,
            name,
            generics,
            of: format_ident!("{}Of", name.unraw(), span = name.span()),
            members,
            is_named: matches!(fields, Fields::Named(_)),
        })
    }
}

impl<'a> ModelMember<'a> {
    fn new(number: usize, field: &'a Field) -> Self {
        let member = match &field.ident {
            Some(name) => Member::Named(name.clone()),
            None => Member::Unnamed(Index::from(number)),
        };
        Self {
            member,
            name: field.ident.as_ref().map(|name| name.unraw().to_string()),
            ty: &field.ty,
            variable: Ident::new(&format!("member{number}"), Span::mixed_site()),
            parameter: format_ident!("T{number}"),
        }
    }
}
