//! Draws the accuracy by round.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Color as _, IntoDrawingArea as _, IntoFont as _, LineSeries, PathElement, RED,
    SVGBackend, WHITE,
};

use crate::common::cli::Failure;

/// A line of the picture: its name, and the accuracy before the first round and after each.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) accuracy: &'a [f64],
}

/// An SVG file. Opening it early checks that it can be written.
pub(crate) struct Curve {
    path: PathBuf,
    /// Whether the file is new and still empty. If so, dropping this value removes the file.
    is_provisional: bool,
}

impl Curve {
    /// Opens the file for writing, and creates it if necessary. An existing file keeps its contents
    /// until [`draw`](Self::draw).
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let open = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::options().write(true).create(true).truncate(false).open(path)
        };
        open().map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), is_provisional: is_new })
    }

    /// Draws the lines, later ones over earlier ones.
    pub(crate) fn draw(mut self, lines: &[Line<'_>; 2]) -> Result<(), Failure> {
        let picture = picture(lines)?;
        fs::write(&self.path, picture).map_err(|error| cannot_write(&self.path, &error))?;
        self.is_provisional = false;
        Ok(())
    }
}

impl Drop for Curve {
    fn drop(&mut self) {
        if self.is_provisional {
            let _ = fs::remove_file(&self.path); // the error that ended the run is more important
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    format!("{} cannot be written: {error}", path.display()).into()
}

/// The text of an SVG file. The first line is wide and pale, so that it stays visible below the
/// second line at equal values.
fn picture(lines: &[Line<'_>; 2]) -> Result<String, Failure> {
    let mut text = String::new();
    {
        let accuracies = || lines.iter().flat_map(|line| line.accuracy).map(|accuracy| 100.0 * accuracy);
        let rounds = lines.iter().map(|line| line.accuracy.len()).max().unwrap_or(1) - 1;
        let (bottom, top) = (accuracies().fold(50.0, f64::min), accuracies().fold(85.0, f64::max));
        let area = SVGBackend::with_string(&mut text, (800, 500)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Accuracy on the test wines", ("sans-serif", 20).into_font())
            .margin(15)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0..rounds, bottom..top)?;
        chart.configure_mesh().x_desc("round").y_desc("right, percent").draw()?;
        for (line, style) in lines.iter().zip([BLUE.mix(0.35).stroke_width(8), RED.stroke_width(2)]) {
            let points = line.accuracy.iter().enumerate().map(|(round, accuracy)| (round, 100.0 * accuracy));
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(text)
}
