//! The attribute `#[story]` of awsb-testkit.

use proc_macro::{TokenStream, TokenTree};

/// Makes a function without parameters a test of the program that it is in.
///
/// The function may be `async`, and may return a `Result` whose error has `Debug`. Unlike
/// `#[test]`, a story can find out while it runs that the machine lacks something that it needs: it
/// is then reported as ignored. The test program needs `harness = false` in `Cargo.toml`, and
/// `awsb_testkit::main!()` in its `main.rs`.
#[proc_macro_attribute]
pub fn story(options: TokenStream, function: TokenStream) -> TokenStream {
    if !options.is_empty() {
        return error("#[story] has no options: a story calls for what it needs, such as `engine()`");
    }
    let mut is_async = false;
    let mut name = None;
    let mut tokens = function.clone().into_iter();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(word) = token else { continue };
        match word.to_string().as_str() {
            "async" => is_async = true,
            "fn" => {
                name = tokens.next().map(|name| name.to_string());
                break;
            }
            _ => {}
        }
    }
    let Some(name) = name else { return error("#[story] belongs to a function") };
    let call =
        if is_async { format!("::awsb_testkit::harness::block_on({name}())") } else { format!("{name}()") };
    let story = format!(
        "::awsb_testkit::harness::inventory::submit! {{
            ::awsb_testkit::harness::Story {{
                name: concat!(module_path!(), \"::{name}\"),
                run: || ::awsb_testkit::harness::StoryResult::check({call}),
            }}
        }}"
    );
    let mut output = function;
    output
        .extend(story.parse::<TokenStream>().unwrap_or_else(|_| error("#[story] cannot name this function")));
    output
}

fn error(message: &str) -> TokenStream {
    format!("compile_error!({message:?});").parse().unwrap_or_default()
}
