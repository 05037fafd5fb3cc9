// SPDX-License-Identifier: MPL-2.0
//! From the manifest's blend, which the properties may override, to what is shown of a face's generated picture.

use std::sync::Arc;

use super::Blend;
use super::cover::{self, Cover};
use super::parsing::Parser;
use super::weights::Weights;
use crate::face_meta::Face;
use crate::model::manifest::{self, DEFAULT_FEATHER, Detail};
use crate::model::{Model, ModelError};
use crate::runtime::Cancel;

/// What the properties say.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    pub blend: Blend,
    /// Below 0: as the manifest says.
    pub feather: f32,
}

/// The files that a model's blend needs, opened.
pub struct Blender {
    model: Arc<Model>,
    files: Files,
}

enum Files {
    Mask(Arc<Weights>),
    Parser(Box<Parser>),
}

impl Blender {
    /// `model`'s blend must be one of those that [`needs_files`] tells.
    pub fn open(model: Arc<Model>, cancel: &Cancel) -> Result<Self, ModelError> {
        let files = match &model.manifest.facepaste.blend {
            Some(manifest::Blend::Mask { file, of, range }) => {
                let weights = Weights::of_mask(model.gray_png(file)?, *of, *range);
                let empty = || ModelError::Invalid(format!("mask = \"{}\": expected a picture, found none", &**file));
                Files::Mask(Arc::new(weights.ok_or_else(empty)?))
            }
            Some(manifest::Blend::Parsing(wish)) => Files::Parser(Box::new(Parser::open(&model, wish, cancel)?)),
            other => return Err(ModelError::Invalid(format!("{other:?} needs no files"))),
        };
        Ok(Self { model, files })
    }

    pub fn is_of(&self, model: &Arc<Model>) -> bool {
        Arc::ptr_eq(&self.model, model) || *self.model == **model
    }
}

/// Where the picture of `face` is shown, with its model's files where it needs any. The error says why that is not known.
pub fn cover(files: Option<&mut Blender>, face: &Face, wish: &Override) -> Result<Cover, String> {
    let own = &face.model.manifest.facepaste;
    let mut sides = cover::rectangle(own.rectangle);
    let feather = |own: f32| if wish.feather >= 0.0 { wish.feather } else { own };
    let (feather, weights) = match chosen(own, wish.blend) {
        Chosen::Hard => (0.0, None),
        Chosen::Feather(own) => (feather(own), None),
        Chosen::Hull { points, grow, feather: own } => {
            let hull = landmarks(face).and_then(|at| cover::hull(&points.iter().map(|&i| at[i]).collect::<Vec<_>>()));
            let hull = hull.ok_or("its landmarks enclose no area")?;
            sides.extend(hull.into_iter().map(|[a, b, c]| [a, b, c + grow]));
            (feather(own), None)
        }
        Chosen::Files(own) => {
            let files = files.filter(|b| b.is_of(&face.model)).ok_or("another model's files are open")?;
            let weights = match (&mut files.files, own) {
                (Files::Parser(parser), manifest::Blend::Parsing(p)) => {
                    parser.weights(&face.crop, feather(p.feather))?
                }
                (Files::Mask(mask), _) => mask.clone(),
                (Files::Parser(_), _) => return Err("another blend's files are open".into()),
            };
            (0.0, Some(weights))
        }
    };
    Ok(Cover { sides, feather, weights })
}

/// A blend, once the properties and the defaults have had their say.
enum Chosen<'a> {
    Hard,
    Feather(f32),
    Hull {
        points: &'a [usize],
        grow: f32,
        feather: f32,
    },
    /// `mask` or `parsing`.
    Files(&'a manifest::Blend),
}

fn chosen(own: &manifest::FacePaste, property: Blend) -> Chosen<'_> {
    use manifest::Blend as Own;
    match (property, &own.blend) {
        (Blend::Hard, _) | (Blend::Model, Some(Own::Hard)) => Chosen::Hard,
        (_, Some(Own::Feather { feather })) => Chosen::Feather(*feather),
        // A picture from a model that warps has no weight of its own.
        (Blend::Feather, _) | (Blend::Model, None | Some(Own::Weight)) => Chosen::Feather(DEFAULT_FEATHER),
        (Blend::Model, Some(Own::Hull { points, grow, feather })) => {
            Chosen::Hull { points, grow: *grow, feather: *feather }
        }
        (Blend::Model, Some(files @ (Own::Mask { .. } | Own::Parsing(_)))) => Chosen::Files(files),
    }
}

/// Whether the properties leave a blend in force that needs files.
pub fn needs_files(own: &manifest::FacePaste, property: Blend) -> bool {
    matches!(chosen(own, property), Chosen::Files(_))
}

/// Whose detail is shown.
pub fn detail(own: &manifest::FacePaste, property: Blend) -> Detail {
    match (own.detail, chosen(own, property)) {
        (Some(detail), _) => detail,
        (None, Chosen::Hard) => Detail::Generated,
        (None, _) => Detail::Frame,
    }
}

/// The landmarks in crop fractions.
fn landmarks(face: &Face) -> Option<Vec<[f32; 2]>> {
    let to_crop = face.crop_to_frame.invert()?;
    let (w, h) = (face.crop.width as f32, face.crop.height as f32);
    let fraction = |p: &[f32; 2]| {
        let [x, y] = to_crop.apply(*p);
        [x / w, y / h]
    };
    Some(face.landmarks.iter().map(fraction).collect())
}
