//! What a derive writes: a generic struct with the same members, and the traits for both.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{GenericParam, Generics, Ident, WherePredicate, parse_quote, spanned::Spanned as _};

use crate::model::{Kind, Model};

/// A struct that gets the traits: the user's, or the generic one.
struct Subject {
    /// The type with its parameters.
    ty: TokenStream,
    /// Its parameters and what holds for them.
    generics: Generics,
    /// Types of its members.
    members: Vec<TokenStream>,
}

pub(crate) fn expand(model: &Model<'_>) -> TokenStream {
    let of = generic_struct(model);
    let conversions = conversions(model);
    let traits = [subject(model), generic_subject(model)].map(|subject| {
        let tree = tensor_tree(model, &subject);
        let tensors = (model.kind == Kind::Tensors).then(|| tensors(model, &subject));
        let summand = summand(model, &subject);
        quote! { #tree #tensors #summand }
    });
    quote! {
        #of
        #[allow(clippy::all, clippy::pedantic, unused_qualifications, private_bounds, private_interfaces)]
        const _: () = {
            use ::cipherfold::federated::__private as private;

            #conversions
            #(#traits)*
        };
    }
}

/// `ModelOf<T0, T1>`.
fn generic_struct(model: &Model<'_>) -> TokenStream {
    let Model { visibility, name, of, .. } = model;
    let parameters = model.members.iter().map(|member| &member.parameter);
    let members = model.members.iter().map(|member| {
        let text = match &member.name {
            Some(member) => format!("For the member `{member}` of `{name}`."),
            None => format!("For a member of `{name}`."),
        };
        let (parameter, visibility) = (&member.parameter, quote!(pub));
        match &member.member {
            syn::Member::Named(member) => quote! { #[doc = #text] #visibility #member: #parameter },
            syn::Member::Unnamed(_) => quote! { #[doc = #text] #visibility #parameter },
        }
    });
    let body = if model.is_named { quote! { { #(#members),* } } } else { quote! { (#(#members),*); } };
    let text = format!(
        "What belongs to the members of a [`{name}`], one for each: codecs, results, or members of other types.",
    );
    quote! {
        #[doc = #text]
        #[derive(
            Clone, Debug, PartialEq,
            ::cipherfold::federated::__private::serde::Serialize,
            ::cipherfold::federated::__private::serde::Deserialize,
        )]
        #[serde(crate = "::cipherfold::federated::__private::serde")]
        #visibility struct #of<#(#parameters),*> #body
    }
}

fn subject(model: &Model<'_>) -> Subject {
    let Model { name, generics, members, .. } = model;
    let (_, arguments, _) = generics.split_for_impl();
    Subject {
        ty: quote! { #name #arguments },
        generics: (*generics).clone(),
        members: members.iter().map(|member| member.ty.to_token_stream()).collect(),
    }
}

fn generic_subject(model: &Model<'_>) -> Subject {
    let Model { of, members, .. } = model;
    let parameters: Vec<_> = members.iter().map(|member| &member.parameter).collect();
    Subject {
        ty: quote! { #of<#(#parameters),*> },
        generics: parse_quote! { <#(#parameters),*> },
        members: parameters.iter().map(ToTokens::to_token_stream).collect(),
    }
}

impl Subject {
    /// The generics with more parameters and more that has to hold.
    fn generics_with(
        &self,
        parameters: impl IntoIterator<Item = Ident>,
        bounds: impl IntoIterator<Item = TokenStream>,
    ) -> Generics {
        let mut generics = self.generics.clone();
        generics.params.extend(parameters.into_iter().map(|parameter| -> GenericParam { parse_quote!(#parameter) }));
        let predicates = bounds.into_iter().map(|bound| -> WherePredicate { parse_quote!(#bound) });
        generics.make_where_clause().predicates.extend(predicates);
        generics
    }

    /// A bound for each member's type. Errors point at the member.
    fn bounds(&self, bound: &TokenStream) -> Vec<TokenStream> {
        let bound = |member: &TokenStream| quote_spanned! { member.span() => #member: #bound };
        self.members.iter().map(bound).collect()
    }
}

/// `Model` from a `ModelOf` its members' types, and back.
fn conversions(model: &Model<'_>) -> TokenStream {
    let Model { name, of, generics, .. } = model;
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let types = model.members.iter().map(|member| member.ty);
    let parts = quote! { #of<#(#types),*> };
    quote! {
        impl #parameters ::core::convert::From<#parts> for #name #arguments #bounds {
            fn from(parts: #parts) -> Self {
                Self { #(#members: parts.#members),* }
            }
        }

        impl #parameters ::core::convert::From<#name #arguments> for #parts #bounds {
            fn from(model: #name #arguments) -> Self {
                #of { #(#members: model.#members),* }
            }
        }
    }
}

/// Names of the members in a structure, as an expression.
fn names(model: &Model<'_>) -> TokenStream {
    let names = model.members.iter().map(|member| match &member.name {
        Some(name) => quote! { ::core::option::Option::Some(#name) },
        None => quote! { ::core::option::Option::None },
    });
    quote! { [#(#names),*] }
}

fn tensor_tree(model: &Model<'_>, subject: &Subject) -> TokenStream {
    let Subject { ty, members: types, .. } = subject;
    let generics = subject.generics_with([], subject.bounds(&quote!(private::TensorTree)));
    let (parameters, _, bounds) = generics.split_for_impl();
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let names = names(model);
    quote! {
        impl #parameters private::SealedTree for #ty #bounds {}

        impl #parameters private::TensorTree for #ty #bounds {
            fn structure(&self) -> private::Result<private::Structure<private::TensorType>> {
                private::structure_of(
                    &#names,
                    [#(private::TensorTree::structure(&self.#members)?),*],
                )
            }

            fn erased_views<'views>(
                &'views self,
                views: &mut ::std::vec::Vec<private::TensorView<'views>>,
            ) {
                #(private::TensorTree::erased_views(&self.#members, views);)*
            }

            fn element_type() -> ::core::option::Option<private::DType> {
                private::one_type(&[#(<#types as private::TensorTree>::element_type()),*])
            }

            fn retyped_members(
                structure: private::Structure<private::TensorType>,
            ) -> private::Structure<private::TensorType> {
                private::retype_members(structure, &[#(<#types as private::TensorTree>::retyped),*])
            }

            fn fixed_structure() -> ::core::option::Option<private::Structure<private::TensorType>> {
                private::structure_of(
                    &#names,
                    [#(<#types as private::TensorTree>::fixed_structure()?),*],
                ).ok()
            }
        }
    }
}

fn tensors(model: &Model<'_>, subject: &Subject) -> TokenStream {
    let Subject { ty, members: types, .. } = subject;
    let (first, others) = types.split_first().expect("a struct with members");
    let scalar = quote! { <#first as private::Tensors>::Scalar };
    let one = quote_spanned! { first.span() => #first: private::Tensors };
    let same = others
        .iter()
        .map(|member| quote_spanned! { member.span() => #member: private::Tensors<Scalar = #scalar> });
    let generics = subject.generics_with([], [one].into_iter().chain(same));
    let (parameters, _, bounds) = generics.split_for_impl();
    let of = &model.of;
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let variables: Vec<_> = model.members.iter().map(|member| &member.variable).collect();
    quote! {
        impl #parameters private::Tensors for #ty #bounds {
            type Scalar = #scalar;
            type With<U: private::Scalar> = #of<#(<#types as private::Tensors>::With<U>),*>;

            fn views<'views>(
                &'views self,
                views: &mut ::std::vec::Vec<private::ArrayViewD<'views, Self::Scalar>>,
            ) {
                #(private::Tensors::views(&self.#members, views);)*
            }

            fn rebuilder<U: private::Scalar>(&self) -> private::Rebuild<U, Self::With<U>> {
                let (#(#variables,)*) = (#(private::Tensors::rebuilder::<U>(&self.#members),)*);
                ::std::boxed::Box::new(move |tensors| #of { #(#members: #variables(tensors)),* })
            }
        }
    }
}

fn summand(model: &Model<'_>, subject: &Subject) -> TokenStream {
    let Subject { ty, members: types, .. } = subject;
    let of = &model.of;
    let codecs: Vec<_> = (0..types.len()).map(|number| format_ident!("Codec{number}")).collect();
    let bounds = types.iter().zip(&codecs);
    let bounds = bounds.map(|(ty, codec)| quote_spanned! { ty.span() => #ty: private::Summand<#codec> });
    let generics = subject.generics_with(codecs.iter().cloned(), bounds);
    let (parameters, _, bounds) = generics.split_for_impl();
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let variables: Vec<_> = model.members.iter().map(|member| &member.variable).collect();
    let names = names(model);
    let codecs = quote! { #of<#(#codecs),*> };
    let output = quote! { #of<#(<#types as private::Summand<_>>::Output),*> };
    let _ = output;
    quote! {}
}
