//! The output of a derive: a generic struct with the same members, and the traits for both.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{GenericParam, Generics, Ident, Member, Type, WherePredicate, parse_quote, spanned::Spanned as _};

use crate::model::{Kind, Model};

/// A struct that implements the traits: the user's struct, or the generic one.
struct Subject {
    /// The type with its parameters.
    ty: TokenStream,
    /// Its generic parameters and their bounds.
    generics: Generics,
    /// Types of its members.
    members: Vec<TokenStream>,
    /// The member types that need a bound to be tensors. For other types, the compiler checks the
    /// trait itself.
    ///
    /// For a type with parameters, a bound would hide the type's own implementation: with a bound
    /// `Array1<T>: Tensors`, the compiler does not know that the elements are `T`. For a type
    /// without parameters, the compiler checks the bound at once, and an error points at the
    /// member.
    bounded: Vec<bool>,
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
        #[allow(
            clippy::all, clippy::pedantic, non_camel_case_types, private_bounds, private_interfaces, unused_qualifications
        )]
        const _: () = {
            use ::cipherfold::federated::__private;

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
        let parameter = &member.parameter;
        match &member.member {
            Member::Named(member) => quote! { #[doc = #text] pub #member: #parameter },
            Member::Unnamed(_) => quote! { #[doc = #text] pub #parameter },
        }
    });
    let body = if model.is_named {
        quote! { { #(#members),* } }
    } else {
        quote! { (#(#members),*); }
    };
    let text =
        format!("One value for each member of a [`{name}`]: codecs, results, or members of other types.");
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
    let is_parameter = |ty: &Type| generics.type_params().any(|parameter| is_path_to(ty, &parameter.ident));
    Subject {
        ty: quote! { #name #arguments },
        generics: (*generics).clone(),
        members: members.iter().map(|member| member.ty.to_token_stream()).collect(),
        bounded: members.iter().map(|member| generics.params.is_empty() || is_parameter(member.ty)).collect(),
    }
}

fn is_path_to(ty: &Type, ident: &Ident) -> bool {
    matches!(ty, Type::Path(path) if path.qself.is_none() && path.path.is_ident(ident))
}

fn generic_subject(model: &Model<'_>) -> Subject {
    let Model { of, members, .. } = model;
    let parameters: Vec<_> = members.iter().map(|member| &member.parameter).collect();
    Subject {
        ty: quote! { #of<#(#parameters),*> },
        generics: parse_quote! { <#(#parameters),*> },
        members: parameters.iter().map(ToTokens::to_token_stream).collect(),
        bounded: vec![true; parameters.len()],
    }
}

impl Subject {
    /// The generics, with additional parameters and bounds.
    fn generics_with(
        &self,
        parameters: impl IntoIterator<Item = Ident>,
        bounds: impl IntoIterator<Item = TokenStream>,
    ) -> Generics {
        let mut generics = self.generics.clone();
        generics
            .params
            .extend(parameters.into_iter().map(|parameter| -> GenericParam { parse_quote!(#parameter) }));
        let predicates = bounds.into_iter().map(|bound| -> WherePredicate { parse_quote!(#bound) });
        generics.make_where_clause().predicates.extend(predicates);
        generics
    }

    /// Bounds on the types of members that need one.
    fn bounds<'a>(
        &'a self,
        bound: impl Fn(&TokenStream) -> TokenStream + 'a,
    ) -> impl Iterator<Item = TokenStream> + 'a {
        let bounded = self.members.iter().zip(&self.bounded).filter(|(_, is_bounded)| **is_bounded);
        bounded.map(move |(member, _)| bound(member))
    }
}

/// Conversions between `Model` and the `ModelOf` with its members' types.
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

/// The members' names in a structure, as an expression.
fn names(model: &Model<'_>) -> TokenStream {
    let names = model.members.iter().map(|member| {
        let name = member.name.as_ref();
        name.map_or_else(
            || quote! { ::core::option::Option::None },
            |name| quote! { ::core::option::Option::Some(#name) },
        )
    });
    quote! { [#(#names),*] }
}

fn tensor_tree(model: &Model<'_>, subject: &Subject) -> TokenStream {
    let Subject { ty, members: types, .. } = subject;
    let generics = subject.generics_with(
        [],
        subject.bounds(|member| quote_spanned! { member.span() => #member: __private::TensorTree }),
    );
    let (parameters, _, bounds) = generics.split_for_impl();
    let (own_parameters, _, own_bounds) = subject.generics.split_for_impl();
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let names = names(model);
    quote! {
        impl #own_parameters __private::SealedTree for #ty #own_bounds {}

        impl #parameters __private::TensorTree for #ty #bounds {
            fn structure(&self) -> __private::Result<__private::Structure<__private::TensorType>> {
                __private::structure_of(
                    &#names,
                    [#(__private::TensorTree::structure(&self.#members)?),*],
                )
            }

            fn erased_views<'__views>(
                &'__views self,
                views: &mut ::std::vec::Vec<__private::TensorView<'__views>>,
            ) {
                #(__private::TensorTree::erased_views(&self.#members, views);)*
            }

            fn element_type() -> ::core::option::Option<__private::DType> {
                __private::one_type(&[#(<#types as __private::TensorTree>::element_type()),*])
            }

            fn retyped_members(
                structure: __private::Structure<__private::TensorType>,
            ) -> __private::Structure<__private::TensorType> {
                __private::retype_members(structure, &[#(<#types as __private::TensorTree>::retyped),*])
            }

            fn nests_in_one_way() -> bool {
                #(<#types as __private::TensorTree>::nests_in_one_way())&&*
            }

            fn nesting_is_fixed() -> bool {
                #(<#types as __private::TensorTree>::nesting_is_fixed())&&*
            }

            fn fixed_structure() -> ::core::option::Option<__private::Structure<__private::TensorType>> {
                __private::structure_of(
                    &#names,
                    [#(<#types as __private::TensorTree>::fixed_structure()?),*],
                ).ok()
            }
        }
    }
}

/// The same tokens with another span, so that errors point there.
fn respanned(tokens: TokenStream, span: Span) -> TokenStream {
    let respan = |token| match token {
        TokenTree::Group(group) => {
            let mut group = Group::new(group.delimiter(), respanned(group.stream(), span));
            group.set_span(span);
            TokenTree::Group(group)
        }
        mut token => {
            token.set_span(span);
            token
        }
    };
    tokens.into_iter().map(respan).collect()
}

fn tensors(model: &Model<'_>, subject: &Subject) -> TokenStream {
    let Subject { ty, members: types, .. } = subject;
    let first = types.first().expect("a struct with members");
    let scalar = quote! { <#first as __private::Tensors>::Scalar };
    let first_name = first.to_string();
    let bounds = subject.bounds(|member| {
        let span = member.span();
        if member.to_string() == first_name {
            quote_spanned! { span => #member: __private::Tensors }
        } else {
            let first = respanned(first.clone(), span);
            quote_spanned! { span => #member: __private::Tensors<Scalar = <#first as __private::Tensors>::Scalar> }
        }
    });
    let generics = subject.generics_with([], bounds);
    let (parameters, _, bounds) = generics.split_for_impl();
    let of = &model.of;
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let variables: Vec<_> = model.members.iter().map(|member| &member.variable).collect();
    quote! {
        impl #parameters __private::Tensors for #ty #bounds {
            type Scalar = #scalar;
            type With<__U: __private::Scalar> = #of<#(<#types as __private::Tensors>::With<__U>),*>;

            fn views<'__views>(
                &'__views self,
                views: &mut ::std::vec::Vec<__private::ArrayViewD<'__views, Self::Scalar>>,
            ) {
                #(__private::Tensors::views(&self.#members, views);)*
            }

            fn rebuilder<__U: __private::Scalar>(&self) -> __private::Rebuild<__U, Self::With<__U>> {
                let (#(#variables,)*) = (#(__private::Tensors::rebuilder::<__U>(&self.#members),)*);
                ::std::boxed::Box::new(move |tensors| #of { #(#members: #variables(tensors)),* })
            }
        }
    }
}

fn summand(model: &Model<'_>, subject: &Subject) -> TokenStream {
    let Subject { ty, members: types, .. } = subject;
    let of = &model.of;
    let numbered = |name: &str| (0..types.len()).map(|number| format_ident!("{name}{number}")).collect();
    // Outputs have their own parameters, so that members may have private types.
    let (codecs, outputs): (Vec<_>, Vec<_>) = (numbered("__Codec"), numbered("__Output"));
    let bounds = types.iter().zip(&codecs).zip(&outputs).map(|((ty, codec), output)| {
        quote_spanned! { ty.span() => #ty: __private::Summand<#codec, Output = #output> }
    });
    let outputs_bounds = outputs.iter().map(|output| {
        quote! { #output: ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync + 'static }
    });
    let generics =
        subject.generics_with(codecs.iter().chain(&outputs).cloned(), bounds.chain(outputs_bounds));
    let (parameters, _, bounds) = generics.split_for_impl();
    let members: Vec<_> = model.members.iter().map(|member| &member.member).collect();
    let variables: Vec<_> = model.members.iter().map(|member| &member.variable).collect();
    let names = names(model);
    let number = types.len();
    let encodings = quote! {
        fn encodings(
            codecs: &#of<#(#codecs),*>,
            structure: &__private::Structure<__private::TensorType>,
            encodings: &mut ::std::vec::Vec<__private::Encoding>,
        ) -> __private::Result<()>
    };
    let output = quote! { #of<#(#outputs),*> };
    quote! {
        impl #parameters __private::Summand<#of<#(#codecs),*>> for #ty #bounds {
            type Output = #output;

            #encodings {
                let members = __private::members_of(structure, &#names)?;
                let [#(#variables),*]: [_; #number] = members.try_into().expect("one encoding list for each member");
                #(<#types as __private::Summand<#codecs>>::encodings(&codecs.#members, #variables, encodings)?;)*
                ::core::result::Result::Ok(())
            }

            fn assembler(&self) -> __private::Assembler<Self::Output> {
                let (#(#variables,)*) =
                    (#(<#types as __private::Summand<#codecs>>::assembler(&self.#members),)*);
                ::std::boxed::Box::new(move |decoded| #of { #(#members: #variables(decoded)),* })
            }
        }

        impl #parameters __private::Summand<#of<#(#codecs),*>> for &#ty #bounds {
            type Output = #output;

            #encodings {
                <#ty as __private::Summand<#of<#(#codecs),*>>>::encodings(codecs, structure, encodings)
            }

            fn assembler(&self) -> __private::Assembler<Self::Output> {
                <#ty as __private::Summand<#of<#(#codecs),*>>>::assembler(self)
            }
        }
    }
}
