//! A picture on a terminal, again and again, until Ctrl-C; once, where there is no terminal.

use std::time::Duration;

use anyhow::Result;
use console::{Term, truncate_str};

use super::table::width_of_stdout;
use super::words::one_line;

/// The terminal's other screen, and back; without its cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// To the upper left, and away with the line.
const HOME: &str = "\x1b[H";
const REST: &str = "\x1b[K";

/// Shows what is drawn for a width, every so often.
pub(crate) async fn again(
    every: Duration,
    draw: impl AsyncFn(Option<usize>) -> Result<String>,
) -> Result<()> {
    // What cannot be looked at from the beginning is told where it stays to be read.
    let first = draw(width_of_stdout()).await?;
    let terminal = Term::stdout();
    if !terminal.is_term() {
        print!("{first}");
        return Ok(());
    }
    let end = intendant::shutdown_signal();
    tokio::pin!(end);
    // It is listened to before the screen is another one, which has to be left.
    tokio::select! {
        biased;
        () = &mut end => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let screen = Screen::begin(terminal)?;
    let mut picture = first;
    loop {
        screen.show(&picture, every)?;
        let next = async {
            tokio::time::sleep(every).await;
            draw(width_of_stdout()).await
        };
        // A database that is away for a while may come back.
        picture = tokio::select! {
            () = &mut end => return Ok(()),
            next = next => next.unwrap_or_else(|error| one_line(&format!("{error:#}"))),
        };
    }
}

/// The terminal's other screen, which is left when this is dropped.
struct Screen(Term);

impl Screen {
    fn begin(terminal: Term) -> Result<Self> {
        terminal.write_str(ENTER)?;
        Ok(Self(terminal))
    }

    fn show(&self, picture: &str, every: Duration) -> Result<()> {
        let (rows, columns) = self.0.size();
        let text = fitted(picture, usize::from(rows), usize::from(columns), every);
        self.0.write_str(&text)?;
        self.0.flush()?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put right.
        self.0.write_str(LEAVE).ok();
        self.0.flush().ok();
    }
}

/// As many lines as there is room for, each in place of the one before, so that nothing flickers.
fn fitted(picture: &str, rows: usize, columns: usize, every: Duration) -> String {
    let room = rows.saturating_sub(1);
    let mut lines: Vec<_> = picture.lines().take(room).collect();
    lines.resize(room, "");
    let foot = format!("every {every:?}; Ctrl-C ends it");
    lines.push(&foot);
    let line = |line: &str| format!("{REST}{}", truncate_str(line, columns, "…"));
    let lines: Vec<_> = lines.into_iter().map(line).collect();
    format!("{HOME}{}", lines.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fills_the_screen_and_no_more() {
        let picture: String = (0..50)
            .map(|line| format!("line {line} is long\n"))
            .collect();
        for (rows, columns) in [(10, 20), (60, 7), (1, 5), (0, 0)] {
            let text = fitted(&picture, rows, columns, Duration::from_secs(2));
            let lines: Vec<_> = text.trim_start_matches(HOME).split("\r\n").collect();
            assert_eq!(lines.len(), rows.max(1));
            for line in lines {
                let line = line.trim_start_matches(REST);
                assert!(
                    console::measure_text_width(line) <= columns.max(1),
                    "{line:?}"
                );
            }
        }
    }
}
