// SPDX-License-Identifier: MPL-2.0
// A talking avatar: a clip in a loop that says the sound files whose names are typed in. ../python/avatar.py is the same in Python.
//     gcc -O2 -Wall -o avatar examples/c/avatar.c $(pkg-config --cflags --libs gstreamer-1.0)
//     . pipelines/env.sh; ./avatar FACE [OUT.mkv]      # in a window, or into a file
// A line with a file's name is said, in place of what is being said; an empty line falls silent; Ctrl-D or Ctrl-C ends it.
#include <glib-unix.h>
#include <gst/gst.h>
#define WINDOW "b.video_src ! queue ! videoconvert ! autovideosink b.audio_src ! queue ! audioconvert ! audioresample ! autoaudiosink"
#define RECORD "b.video_src ! x264enc tune=zerolatency speed-preset=veryfast ! mux. " \
    "b.audio_src ! queue max-size-time=5000000000 ! audioconvert ! flacenc ! mux. matroskamux name=mux ! filesink name=out"

static GstElement *pipeline, *voice, *speech;
static GstElement *part(GstElement *of, const char *name) { // which keeps it
    g_autoptr(GstElement) element = gst_bin_get_by_name(GST_BIN(of), name);
    return element;
}

// Falls silent: what has not been said is dropped, in the voice and in the bin.
static void interrupt(void) {
    if (!speech) return;
    g_signal_emit_by_name(voice, "clear");
    gst_element_set_state(speech, GST_STATE_NULL);
    gst_bin_remove(GST_BIN(pipeline), speech), speech = NULL;
    g_signal_emit_by_name(voice, "clear"); // what came between
}

static void say(const char *file) {
    interrupt();
    speech = gst_parse_bin_from_description("filesrc name=file ! decodebin ! audioconvert ! queue name=last", FALSE, NULL);
    g_object_set(speech, "async-handling", TRUE, NULL); // the others do not wait until it has started
    g_object_set(part(speech, "file"), "location", file, NULL);
    g_autoptr(GstPad) last = gst_element_get_static_pad(part(speech, "last"), "src");
    gst_element_add_pad(speech, gst_ghost_pad_new("src", last));
    gst_bin_add(GST_BIN(pipeline), speech);
    gst_element_link(speech, voice);
    gst_element_sync_state_with_parent(speech);
}

// The sound ends, the picture with it, and the file is finished.
static gboolean end(gpointer data) {
    gst_element_send_event(voice, gst_event_new_eos());
    return FALSE;
}

static gboolean typed(GIOChannel *in, GIOCondition condition, gpointer data) {
    g_autofree gchar *line = NULL;
    gboolean more = g_io_channel_read_line(in, &line, NULL, NULL, NULL) == G_IO_STATUS_NORMAL;
    more && *g_strstrip(line) ? say(line) : interrupt();
    if (!more) end(NULL);
    return more;
}

static gboolean heard(GstBus *bus, GstMessage *message, gpointer loop) {
    g_autoptr(GError) error = NULL;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
        gst_message_parse_error(message, &error, NULL), g_printerr("%s: %s\n", GST_MESSAGE_SRC_NAME(message), error->message);
    if (error && speech && gst_object_has_as_ancestor(GST_MESSAGE_SRC(message), GST_OBJECT(speech))) interrupt();
    else if (error ? gst_object_has_as_ancestor(GST_MESSAGE_SRC(message), GST_OBJECT(pipeline)) : GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS)
        g_main_loop_quit(loop);
    return TRUE;
}

int main(int argc, char **argv) {
    gst_init(&argc, &argv);
    if (argc != 2 && argc != 3) return g_printerr("usage: %s FACE [OUT.mkv]\n", argv[0]), 2;
    g_autofree gchar *text = g_strconcat("filesrc name=face ! decodebin ! videoconvert ! videoflip video-direction=auto ! b.video_sink "
        "lipsyncvoice name=voice ! audio/x-raw,rate=48000,channels=1 ! b.audio_sink "
        "lipsyncbin name=b loop=pingpong on-audio-end=eos latency=40000000 ", argc == 2 ? WINDOW : RECORD, NULL);
    g_autoptr(GError) error = NULL;
    pipeline = gst_parse_launch(text, &error);
    if (error) return g_printerr("%s\n", error->message), 1;
    voice = part(pipeline, "voice");
    for (int i = 1; i < argc; i++) g_object_set(part(pipeline, i == 1 ? "face" : "out"), "location", argv[i], NULL);
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    g_unix_signal_add(SIGINT, end, NULL);
    g_io_add_watch(g_io_channel_unix_new(0), G_IO_IN | G_IO_HUP, typed, NULL);
    gst_bus_add_watch(GST_ELEMENT_BUS(pipeline), heard, loop);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    g_main_loop_run(loop);
    return gst_element_set_state(pipeline, GST_STATE_NULL) == GST_STATE_CHANGE_FAILURE;
}
