//! What the runtimes of languages print before they trap: the exception, and the language's own stack.

/// An exception that ended a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Its class, as far as the runtime prints it, and its message.
    pub text: String,
    /// The language's stack, a line per frame; empty if the runtime prints none.
    pub stack: String,
    /// Whether the frames of WebAssembly are those of the plugin's own code.
    pub is_compiled: bool,
}

/// The end of a panic in Rust, in which componentize-py and componentize-qjs are written.
const RUST_NOTE: &str = "note: run with `RUST_BACKTRACE";
/// The panic of componentize-py, after Python's traceback.
const PYTHON_PANIC: &str = "Python function threw an unexpected exception";
/// The panic of componentize-qjs.
const QUICKJS_PANIC: &str = "Failed to call '";
/// The last line of StarlingMonkey.
const STARLING_END: &str = "Redirecting call to abort() to mozalloc_abort";
/// The frame of the code that componentize-js adds to a plugin.
const STARLING_OWN_FRAME: &str = "/initializer.js:";
/// The first line of a traceback of Python.
const TRACEBACK: &str = "Traceback (most recent call last):";

impl Exception {
    /// The exception in the last lines of standard error, if they end with one.
    pub fn printed(lines: &[String]) -> Option<Self> {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let lines = trimmed(&lines);
        if let Some((last, rest)) = lines.split_last()
            && *last == STARLING_END
        {
            return starling_monkey(rest);
        }
        let panic = lines.iter().rposition(|line| place_of_panic(line).is_some())?;
        let message = &lines[panic + 1..];
        match message.first() {
            Some(&PYTHON_PANIC) => python(&lines[..panic]),
            Some(first) if first.starts_with(QUICKJS_PANIC) => quickjs(first),
            _ => Some(Self {
                text: format!("panic: {}", message.join(" | ")),
                stack: format!("    at {}", place_of_panic(lines[panic]).unwrap_or_default()),
                is_compiled: true,
            }),
        }
    }
}

/// Without the hint that Rust prints after a panic.
fn trimmed<'a, 'l>(lines: &'l [&'a str]) -> &'l [&'a str] {
    match lines.split_last() {
        Some((last, rest)) if last.starts_with(RUST_NOTE) => rest,
        _ => lines,
    }
}

/// `thread 'main' panicked at src/lib.rs:1:2:` is at `src/lib.rs:1:2`.
fn place_of_panic(line: &str) -> Option<&str> {
    let (_, place) = line.strip_prefix("thread '")?.split_once(" panicked at ")?;
    Some(place.trim_end_matches(':'))
}

/// Tracebacks, the last one with the exception that was not caught.
fn python(lines: &[&str]) -> Option<Exception> {
    let last = lines.iter().rposition(|line| *line == TRACEBACK)?;
    // Tracebacks of causes come first. Other lines may come before them.
    let first = lines.iter().position(|line| *line == TRACEBACK)?;
    let is_frame = |line: &&&str| line.starts_with(' ');
    let frames = lines[last + 1..].iter().take_while(is_frame).count();
    let text = lines[last + 1 + frames..].join(" | ");
    Some(Exception { text, stack: lines[first..].join("\n"), is_compiled: false })
}

/// `Failed to call 'handle': Exception(Exception { message: Some("…"), stack: Some("…") })`. What is thrown without being
/// an error is `Value(String(Ok("…")))`.
fn quickjs(line: &str) -> Option<Exception> {
    let (_, thrown) = line.split_once("': ")?;
    if !thrown.starts_with("Exception(") {
        let text = quoted(thrown, "Value(String(Ok(").unwrap_or_else(|| thrown.to_owned());
        return Some(Exception { text, stack: String::new(), is_compiled: false });
    }
    let text = quoted(thrown, "message: Some(").unwrap_or_else(|| "exception without a message".to_owned());
    // A message that contains this text comes before the stack.
    let stack = thrown.rfind("stack: Some(").and_then(|at| quoted(&thrown[at..], "stack: Some("));
    let (text, stack) = (text.replace('\n', " | "), stack.unwrap_or_default().trim_end().to_owned());
    Some(Exception { text, stack, is_compiled: false })
}

/// The text in Rust's quotes behind `before`.
fn quoted(text: &str, before: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let mut characters = rest.strip_prefix('"')?.chars();
    let mut unquoted = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(unquoted),
            '\\' => match characters.next()? {
                'n' => unquoted.push('\n'),
                't' => unquoted.push('\t'),
                'u' => {
                    let code: String = characters.by_ref().skip(1).take_while(|it| *it != '}').collect();
                    let character = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    // Others are for terminals.
                    unquoted.extend(character.filter(|it| !it.is_control()));
                }
                other => unquoted.push(other),
            },
            other => unquoted.push(other),
        }
    }
}

/// The message, `Stack:`, its frames, and the same for each `Caused by: ` it. What is thrown without being an error has no
/// stack. The class is not printed.
fn starling_monkey(lines: &[&str]) -> Option<Exception> {
    let mut first = lines.len();
    loop {
        let frames = lines[..first].iter().rev().take_while(|line| is_starling_frame(line)).count();
        let head = (first - frames).checked_sub(2).filter(|head| lines[head + 1] == "Stack:");
        match head {
            Some(head) => {
                first = head;
                if !lines[head].starts_with("Caused by: ") {
                    break;
                }
            }
            None if first == lines.len() => {
                let text = lines.last()?.to_owned().to_owned();
                return Some(Exception { text, stack: String::new(), is_compiled: false });
            }
            None => break,
        }
    }
    let is_own = |line: &&&str| !line.contains(STARLING_OWN_FRAME) && **line != "Stack:";
    let stack: Vec<&str> = lines[first + 1..].iter().filter(is_own).copied().collect();
    Some(Exception { text: lines[first].to_owned(), stack: stack.join("\n"), is_compiled: false })
}

fn is_starling_frame(line: &str) -> bool {
    line.starts_with("  ") && line.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Option<(String, String)> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Exception::printed(&lines).map(|exception| (exception.text, exception.stack))
    }

    fn is(text: &str, stack: &str) -> Option<(String, String)> {
        Some((text.to_owned(), stack.to_owned()))
    }

    #[test]
    fn a_panic_in_rust() {
        let text = "before\nthread '<unnamed>' (1) panicked at src/lib.rs:179:26:\nbad thing: x\n\
                    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        assert_eq!(printed(text), is("panic: bad thing: x", "    at src/lib.rs:179:26"));
    }

    #[test]
    fn an_exception_in_python_with_its_cause() {
        let panic = "thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1280:25:\n\
                     Python function threw an unexpected exception\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let cause = "Traceback (most recent call last):\n  File \"/0/a.py\", line 35, in act\nValueError: bad thing: x\n\
                     The above exception was the direct cause of the following exception:";
        let last = "Traceback (most recent call last):\n  File \"/0/a.py\", line 37, in act";
        let exception = "RuntimeError: outer\nsecond line";
        let text = format!("INFO:root:before\n{cause}\n{last}\n{exception}\n{panic}");
        let stack = format!("{cause}\n{last}\n{exception}");
        assert_eq!(printed(&text), is("RuntimeError: outer | second line", &stack));
        assert_eq!(printed(panic), None, "without a traceback, nothing is known");
    }

    #[test]
    fn an_exception_in_quickjs() {
        let panic = |thrown: &str| {
            let end = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
            printed(&format!(
                "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\n\
                 Failed to call 'handle': {thrown}\n{end}"
            ))
        };
        let frames = r#"Some("    at fail (/a.js:45:23)\n    at handle (/a.js:11:42)\n")"#;
        let thrown = format!(
            r#"Exception(Exception {{ message: Some("bad \"thing\": x\u{{7}}\u{{e9}}"), stack: {frames} }})"#
        );
        let stack = "    at fail (/a.js:45:23)\n    at handle (/a.js:11:42)";
        assert_eq!(panic(&thrown), is("bad \"thing\": xé", stack));
        assert_eq!(panic(r#"Value(String(Ok("text")))"#), is("text", ""));
        assert_eq!(panic("Value(Int(3))"), is("Value(Int(3))", ""));
        assert_eq!(
            panic("Exception(Exception { message: None, stack: None })"),
            is("exception without a message", "")
        );
    }

    #[test]
    fn an_exception_in_starling_monkey_with_its_cause() {
        let frames = "Stack:\n  fail@a.js:45:9\n  async*act@a.js:21:14\n  \
                      export_handler$handle@/tmp/3/sources/initializer.js:383:15";
        let end = "Redirecting call to abort() to mozalloc_abort";
        let stack = "  fail@a.js:45:9\n  async*act@a.js:21:14";
        let one = format!("console error\nbad thing: x\n{frames}\n{end}");
        assert_eq!(printed(&one), is("bad thing: x", stack));
        let two = format!("console error\nouter\n{frames}\nCaused by: bad thing: x\n{frames}\n{end}");
        assert_eq!(printed(&two), is("outer", &format!("{stack}\nCaused by: bad thing: x\n{stack}")));
        assert_eq!(printed(&format!("\"text\"\n{end}")), is("\"text\"", ""));
        // Its first lines were dropped.
        assert_eq!(printed(&format!("  fail@a.js:45:9\n{end}")), is("  fail@a.js:45:9", ""));
        assert_eq!(printed(end), None);
    }

    #[test]
    fn other_output_is_no_exception() {
        for text in ["", "a", "Traceback (most recent call last):\n  File", "Stack:\n  a@b", "thread 'a'"] {
            assert_eq!(printed(text), None, "{text}");
        }
    }
}
