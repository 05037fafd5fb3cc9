// SPDX-License-Identifier: MPL-2.0
//! How elements learn which model lipsyncgen uses: a GstContext query that travels along the pads.
//!
//! A query, unlike the NeedContext/HaveContext messages, stays on its own branch of the pipeline, so two generators in one
//! pipeline never mix up their models.

use std::sync::Arc;

use gst::glib;
use gst::prelude::*;

use super::Model;

const CONTEXT_TYPE: &str = "lipsync.model";

#[derive(Clone, Debug, glib::Boxed)]
#[boxed_type(name = "LipsyncModel")]
struct Handle(Arc<Model>);

/// Asks the elements beyond `pad` which model they use.
pub fn ask(pad: &gst::Pad) -> Option<Arc<Model>> {
    let mut query = gst::query::Context::new(CONTEXT_TYPE);
    if !pad.peer_query(&mut query) {
        return None;
    }
    query.context()?.structure().get::<&Handle>("model").ok().map(|handle| handle.0.clone())
}

/// Answers `query` with `model`; `false` where the query asks for something else or there is no model.
pub fn answer(query: &mut gst::QueryRef, model: Option<Arc<Model>>) -> bool {
    let gst::QueryViewMut::Context(query) = query.view_mut() else { return false };
    let (Some(model), CONTEXT_TYPE) = (model, query.context_type()) else { return false };
    let mut context = gst::Context::new(CONTEXT_TYPE, false);
    {
        // Just made, so nobody else holds it.
        let context = context.make_mut();
        context.structure_mut().set("model", Handle(model));
    }
    query.set_context(&context);
    true
}
