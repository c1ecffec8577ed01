//! Draws how accuracy grows with the rounds.

use std::{error::Error, fs, path::Path};

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Color as _, IntoDrawingArea as _, IntoFont as _, LineSeries, PathElement, RED,
    SVGBackend, WHITE,
};

/// A line of the picture: its name, and the accuracy before the first round and after each.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) accuracy: &'a [f64],
}

/// Writes an SVG file.
pub(crate) fn draw(path: &Path, lines: &[Line<'_>; 2]) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let rounds = lines.iter().map(|line| line.accuracy.len()).max().unwrap_or(1) - 1;
    let least = lines.iter().flat_map(|line| line.accuracy).copied().fold(0.5, f64::min);
    let area = SVGBackend::new(path, (800, 500)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Accuracy on wines that nobody has learned from", ("sans-serif", 20).into_font())
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0..rounds, 100.0 * least..85.0)?;
    chart.configure_mesh().x_desc("round").y_desc("right, percent").draw()?;
    for (line, color) in lines.iter().zip([BLUE, RED]) {
        let points = line.accuracy.iter().enumerate().map(|(round, accuracy)| (round, 100.0 * accuracy));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
