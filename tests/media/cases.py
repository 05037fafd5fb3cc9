# SPDX-License-Identifier: MPL-2.0
"""The awkward files of table.py: for each its name, what it is, how it is made, and what dub.sh must make of it.

How: a line of shell, run in the folder where the file is to be, with $face, $voice and $it (the file's name); or a function of make.py.
What must come of it: words of a refusal, or a Whole; where that depends on what the ffmpeg here can, a Whole and the words of a refusal."""

import make
from check import Whole
from make import SHORT, Inside

X264 = "-c:v libx264 -preset veryfast -crf 12"
SAME = Whole()  # the face as it is, 25 fps, as long as the voice
STILL = Whole(still=True)
NO_FACE = dict(face=False)


def ff(args, before=""):
    """A second of the face by ffmpeg."""
    return f'ffmpeg {before} -t 1 -i "$face" {args} "$it"'


def x264(filters, args="", **more):
    return ff(f"-vf '{filters}' {X264} {args}", **more)


def turned(filters, angle):
    """Turned to the left; ffmpeg before 6 knows only the old way of saying so, and from 7 only the new one."""
    return f"ffmpeg -t 1 -i \"$face\" -vf '{filters}' {X264} w.mp4; ffmpeg -display_rotation {angle} -i w.mp4 -c copy \"$it\" 2> /dev/null || ffmpeg -i w.mp4 -c copy -metadata:s:v rotate={angle} \"$it\""


def still(filters="null", args=""):
    return f"ffmpeg -i \"$face\" -frames:v 1 -update 1 -vf '{filters}' {args} \"$it\""


def interlaced(first, codec):
    """Every other row half a frame later, of a picture that moves."""
    return ff(f"-vf '{MOVING},tinterlace=interleave_{first},setfield={first[0]}ff' -flags +ilme+ildct {codec}")


MOVING = "fps=50,crop=512:512:64+60*sin(9*t):64"
HDR = "zscale=tin=bt709:min=bt709:pin=bt709:t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=smpte2084:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
JFIF = "scale=out_color_matrix=bt601:out_range=full"  # what a JPEG means
PQ = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc"
CUT = 'ffmpeg -t 2 -i "$face" {} -c copy whole.mp4; head -c {} whole.mp4 > "$it"'

VIDEOS = [
    ("plain.mp4", "nothing wrong with it", ff("-c copy"), SAME),
    ("long.mp4", "longer than the voice", "cp $face $it", SAME),
    # Time
    ("vfr.mp4", "variable frame rate", x264("select=not(mod(n\\,5)*mod(n\\,3))", "-vsync vfr"), Whole(rate=None)),
    ("vfr.mkv", "variable frame rate, in ms", x264("select=not(mod(n\\,5)*mod(n\\,3))", "-vsync vfr"), Whole(rate=None)),
    ("one_frame.mp4", "one frame", ff("-frames:v 1 -c copy"), STILL),
    ("two_frames.mp4", "two frames", ff("-frames:v 2 -c copy"), STILL),
    ("1fps.mp4", "1 frame a second", f'ffmpeg -i "$face" -vf fps=1 {X264} "$it"', Whole(colour=5)),
    ("5fps.mp4", "5 frames a second", f'ffmpeg -i "$face" -vf fps=5 {X264} "$it"', Whole(colour=5)),
    ("rates.ts", "another rate midway", f'for r in 25 30; do ffmpeg -t 0.6 -i "$face" -vf fps=$r {X264} -f mpegts -; done > $it',
     Whole(changes=True, rate=None)),
    ("120fps.mp4", "120 frames a second", x264("fps=120"), Whole(rate=120)),
    ("1000fps.mkv", "1000 frames a second", f'ffmpeg -t 0.2 -i "$face" -vf fps=1000 {X264} "$it"', Whole(rate=None, colour=5)),
    ("1000fps.avi", "said to have 1000 frames a second, most of them left out",
     ff("-c:v mpeg4 -q:v 2 -vf settb=1/1000 -enc_time_base 1/1000 -vsync passthrough"),
     Whole(rate=None)),
    ("29.97.mp4", "30000/1001 frames a second", x264("fps=30000/1001"), Whole(rate=30000 / 1001)),
    ("late.mp4", "starts at 0.5 s (an empty edit)", 'ffmpeg -itsoffset 0.5 -t 1 -i "$face" -c copy $it', SAME),
    ("late.ts", "starts at 1000 s", ff("-c copy -output_ts_offset 1000"), SAME),
    ("edited.mp4", "an edit list that leaves out the start", 'ffmpeg -ss 1.3 -t 1.4 -i "$face" -c copy $it', Whole(start=1.3)),
    ("wrap.ts", "its time stamps wrap", ff("-c copy -output_ts_offset 95443.2"), SAME),
    ("open_gop.mp4", "B-frames and an open GOP", x264("null", "-bf 3 -x264-params open-gop=1:keyint=10:b-pyramid=2"), SAME),
    ("cut_in.ts", "begins between key frames",
     'ffmpeg -i "$face" -vf setpts=PTS-1/TB '+X264+' -x264-params open-gop=1:keyint=20 -f mpegts - | tail -c +150401 > $it',
     Whole(start=0.8, changes=True)),
    ("long_gop.mp4", "one key frame", x264("null", "-g 10000 -sc_threshold 0"), SAME),
    ("duration.mp4", "its header says 1000 s", make.wrong_duration, SAME),
    ("rate.avi", "its header says 100 frames a second", make.wrong_rate, Whole(rate=100)),
    # Turned: what is stored is turned the other way, so that the face is upright
    ("rot90.mp4", "turned by 90°", turned("transpose=clock", 90), SAME),
    ("rot180.mp4", "turned by 180°", turned("hflip,vflip", 180), SAME),
    ("rot270.mp4", "turned by 270°", turned("transpose=cclock", 270), SAME),
    ("rot90_odd.mp4", "turned by 90°, odd sizes", turned("crop=601:361:20:130,transpose=clock,format=yuv444p", 90),
     Whole(looks="crop=600:360:21:130")),
    ("hflip.mp4", "mirrored by its matrix", make.matrix("hflip", -1, 0, 0, 1), SAME),
    ("vflip.mp4", "upside down by its matrix", make.matrix("vflip", 1, 0, 0, -1), SAME),
    ("transposed.mp4", "mirrored and turned by its matrix", make.matrix("transpose=cclock_flip", 0, 1, 1, 0), SAME),
    ("transversed.mp4", "mirrored and turned the other way", make.matrix("transpose=clock_flip", 0, -1, -1, 0), SAME),
    ("rot45.mp4", "turned by 45° by its matrix", make.matrix("null", 0.7071, 0.7071, -0.7071, 0.7071), SAME),
    ("exif2.jpg", "a JPEG mirrored by its EXIF", make.exif("hflip", 2), STILL),
    ("exif3.jpg", "a JPEG turned by 180° by its EXIF", make.exif("hflip,vflip", 3), STILL),
    ("exif4.jpg", "a JPEG upside down by its EXIF", make.exif("vflip", 4), STILL),
    ("exif5.jpg", "a JPEG mirrored and turned by its EXIF", make.exif("transpose=cclock_flip", 5), STILL),
    ("exif6.jpg", "a JPEG turned by 90° by its EXIF", make.exif("transpose=cclock", 6), STILL),
    ("exif7.jpg", "a JPEG mirrored and turned the other way", make.exif("transpose=clock_flip", 7), STILL),
    ("exif8.jpg", "a progressive JPEG turned by 270° by its EXIF", make.exif("transpose=clock", 8, progressive=True), STILL),
    # Sizes
    ("321x243.mp4", "odd, 4:4:4", x264("scale=321:243,format=yuv444p"), Whole(looks="scale=321:243,crop=320:242:0:0")),
    ("321x243.webm", "odd, 4:2:0, VP9", ff("-vf scale=321:243 -c:v libvpx-vp9 -crf 12 -b:v 0 -speed 8"),
     Whole(looks="scale=321:243,crop=320:242:0:0")),
    ("16x16.mp4", "16×16", x264("scale=16:16"), Whole(looks="scale=16:16", **NO_FACE)),
    ("18x300.mp4", "18×300", x264("scale=18:300"), Whole(looks="scale=18:300", **NO_FACE)),
    ("8x8.mp4", "8×8", x264("scale=8:8"), "too small"),
    ("8k.png", "7680×4320", still("pad=iw*16/9:ih:-1,scale=7680:4320"), Whole(looks="pad=iw*16/9:ih:-1,scale=7680:4320", still=True)),
    ("16384x64.png", "16384×64", still("scale=16384:64"), "too large"),
    ("resized.ts", "another size midway", f'for s in 640:640 320:480; do ffmpeg -t 0.6 -i "$face" -vf scale=$s {X264} -f mpegts -; done > $it',
     Whole(changes=True, rate=None)),
    ("resized.webm", "VP8 with another size midway", make.resized, Whole(changes=True)),
    ("anamorphic.mp4", "pixels of 4:3", x264("setsar=4/3"), Whole(looks="setsar=4/3")),
    ("anamorphic90.mp4", "pixels of 3:4, turned by 90°", turned("transpose=clock,setsar=3/4", 90), Whole(looks="setsar=4/3")),
    # Formats
    ("10bit420.mp4", "10 bits, 4:2:0", x264("format=yuv420p10"), SAME),
    ("10bit422.mov", "10 bits, 4:2:2, ProRes", ff("-c:v prores_ks -pix_fmt yuv422p10"), SAME),
    ("10bit444.mp4", "10 bits, 4:4:4", x264("format=yuv444p10"), SAME),
    ("12bit444.mkv", "12 bits, 4:4:4, ProRes with alpha", ff("-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10"), SAME),
    ("422.mp4", "4:2:2", x264("format=yuv422p"), SAME),
    ("hevc.mp4", "HEVC", ff("-c:v libx265 -x265-params log-level=none -preset fast -crf 12 -tag:v hvc1"), SAME),
    ("av1.mp4", "AV1", "export SVT_LOG=1; " + ff("-c:v libsvtav1 -crf 20 -preset 10"), SAME),
    ("gray.mp4", "H.264 without colour", x264("format=gray"), Whole(looks="hue=s=0")),
    ("rgb.mkv", "H.264 in RGB", ff("-c:v libx264rgb -crf 5 -preset veryfast"), SAME),
    ("gbr16.mkv", "FFV1, 16 bits a colour", ff("-c:v ffv1 -pix_fmt gbrp16"), SAME),
    ("mjpeg.avi", "MJPEG", ff(f"-vf {JFIF} -c:v mjpeg -q:v 2"), SAME),
    ("theora.ogv", "Theora", ff("-c:v libtheora -q:v 9"), SAME),
    ("wmv2.wmv", "WMV", ff("-c:v wmv2 -q:v 2"), SAME),
    ("mpeg4.avi", "MPEG-4 with B-frames in AVI", ff("-c:v mpeg4 -bf 2 -q:v 2"), SAME),
    ("vp8.webm", "VP8", ff("-c:v libvpx -crf 5 -b:v 5M"), SAME),
    ("raw.h264", "H.264 without times", ff("-c copy -f h264"), SAME),
    ("raw.hevc", "HEVC without times", ff("-c:v libx265 -x265-params log-level=none -preset fast -crf 12 -f hevc"), SAME),
    ("raw.m2v", "MPEG-2 without times", ff("-c:v mpeg2video -q:v 2 -f mpeg2video"), SAME),
    ("raw.y4m", "not compressed", ff(""), SAME),
    ("raw_bgr.avi", "not compressed, BGR, upside down as AVI has it", ff("-c:v rawvideo -pix_fmt bgr24"), SAME),
    ("flv.flv", "FLV", ff("-c copy"), SAME),
    ("fragments.mp4", "fragmented", ff("-c copy -movflags frag_keyframe+empty_moov"), SAME),
    ("full.mp4", "full range", x264("scale=out_range=full,format=yuvj420p", "-color_range pc"), SAME),
    ("bt601.mp4", "BT.601", x264("zscale=m=170m", "-colorspace smpte170m"), SAME),
    ("hdr.mp4", "HDR: PQ, BT.2020", x264(HDR, PQ), Whole(colour=8)),
    ("hlg.mp4", "HDR: HLG, BT.2020", x264(HDR.replace("smpte2084", "arib-std-b67"), PQ.replace("smpte2084", "arib-std-b67")), Whole(colour=8)),
    # Interlaced: must not comb.
    ("tff.mp4", "interlaced, H.264, top field first", interlaced("top", X264), Whole(looks=MOVING, moves=True, face=None)),
    ("bff.mp4", "interlaced, H.264, bottom field first", interlaced("bottom", X264), Whole(looks=MOVING.replace("*t",
     "*(t+0.02)"), moves=True, face=None)),
    ("tff.mpg", "interlaced, MPEG-2", interlaced("top", "-c:v mpeg2video -q:v 2"), Whole(looks=MOVING, moves=True, face=None)),
    ("dv.avi",
     "DV, interlaced, pixels of 16:15",
     ff(f"-vf '{MOVING},tinterlace=interleave_bottom,scale=720:576:interl=1,setfield=bff'"
     " -flags +ilme+ildct -target pal-dv -aspect 4:3 -f avi"),
     Whole(looks=f"{MOVING},scale=720:576,setsar=16/15", moves=True, face=None)),
    # With alpha, and stills
    ("alpha.webm", "VP9 with alpha", ff("-pix_fmt yuva420p -c:v libvpx-vp9 -crf 12 -b:v 0 -speed 8 -auto-alt-ref 0"), SAME),
    ("alpha.mov", "Animation with alpha", ff("-c:v qtrle -pix_fmt argb"), SAME),
    ("alpha.png", "PNG, half transparent: black shows through", still("format=rgba,colorchannelmixer=aa=0.5"),
     Whole(looks="format=rgb24,colorchannelmixer=rr=0.5:gg=0.5:bb=0.5", still=True)),
    ("anim.png", "animated PNG", ff("-vf fps=5 -f apng -plays 0"), SAME),
    ("gray.png", "PNG without colour", still("format=gray"), Whole(looks="hue=s=0", still=True)),
    ("gray16.png", "PNG without colour, 16 bits", still("format=gray16"), Whole(looks="hue=s=0", still=True)),
    ("rgb16.png", "PNG, 16 bits a colour", still("format=rgb48"), STILL),
    ("palette.png", "PNG with a palette", still("split[a][b];[a]palettegen[p];[b][p]paletteuse"), Whole(colour=6, still=True)),
    ("gray.jpg", "JPEG without colour", still("format=gray", "-q:v 2"), Whole(looks="hue=s=0", still=True)),
    ("444.jpg", "JPEG, 4:4:4", still(JFIF + ",format=yuvj444p", "-q:v 2"), STILL),
    ("cmyk.jpg", "JPEG in CMYK", make.cmyk, Whole(still=True, colour=8)),
    ("anim.gif", "animated GIF", ff("-vf 'fps=20,split[a][b];[a]palettegen[p];[b][p]paletteuse'"), Whole(colour=6)),
    ("still.gif", "GIF of one picture", still("split[a][b];[a]palettegen[p];[b][p]paletteuse"), Whole(still=True, rate=None, colour=6)),
    ("still.webp", "WebP", still("scale=out_color_matrix=bt601", "-quality 95"), STILL),
    ("anim.webp", "animated WebP", ff("-c:v libwebp_anim -quality 95"), "no picture"),
    ("still.bmp", "BMP", still(), STILL),
    ("still.tiff", "TIFF", still(), STILL),
    ("still.jp2", "JPEG 2000", still(), STILL),
    ("still.jxl", "JPEG XL", still(), STILL),
    ("still.avif", "AVIF", still("null", "-c:v libaom-av1 -crf 10 -cpu-used 8"), Whole(still=True, rate=None)),
    # Faces
    ("noface.mp4", "without a face", f'ffmpeg -f lavfi -i testsrc=d=1:s=320x240:r=25 {X264} -pix_fmt yuv420p "$it"', Whole(looks=None, face=False)),
    ("three.mp4", "three faces", x264("scale=320:320,split=3[a][b][c];[a][b][c]hstack=3"),
     Whole(looks="scale=320:320,split=3[a][b][c];[a][b][c]hstack=3")),
    # Streams
    ("sounding.mp4", "with its own sound", 'ffmpeg -t 1 -i "$face" -i "$voice" -c:v copy -shortest "$it"', SAME),
    ("two.mkv", "two pictures, the second one small", ff("-map 0:v -map 0:v -c:v:0 copy -filter:v:1 scale=64:64"), SAME),
    ("cover.mp4", "with a cover",
     'ffmpeg -i "$face" -frames:v 1 -vf negate -update 1 c.png; '
     'ffmpeg -t 1 -i "$face" -i c.png -map 0 -map 1 -c copy -disposition:v:1 attached_pic "$it"',
     SAME),
    ("cover.mp3", "a sound file with a cover", make.cover, "no picture"),
    ("sound.mp4", "no picture", 'ffmpeg -i "$voice" "$it"', "no picture"),
    # Damaged
    ("no_moov.mp4", "cut before its moov", CUT.format("", 200000), "damaged"),
    ("cut.mp4", "cut in its mdat", CUT.format("-movflags +faststart", 150000), Whole(changes=True)),
    ("cut.mkv", "cut", 'ffmpeg -i "$face" -t 2 -c copy w.mkv; head -c 150000 w.mkv > $it', Whole(changes=True)),
    ("cut.png", "cut", still() + '; truncate -s 200000 "$it"', "damaged.* .+"),
    ("cut.jpg", "cut", still() + '; truncate -s -3000 "$it"', Whole(looks=None, still=True, face=None)),
    ("zeroed.mp4", "4 KB of zeros in its middle",
     CUT.format("-movflags +faststart", 10**9) + '; dd if=/dev/zero of=$it bs=1000 seek=60 count=4 conv=notrunc status=none',
     Whole(looks=None, face=None, rate=None)),  # GStreamer 1.26's decoder leaves frames out
    ("zeroed.ts", "20 KB of zeros in its middle",
     'ffmpeg -t 2 -i "$face" -c copy $it; dd if=/dev/zero of=$it bs=1000 seek=60 count=20 conv=notrunc status=none',
     (Whole(looks=None, face=None, rate=None), "No valid frames")),
    ("bytes.mp4", "random bytes", make.garbage, "not a media file"),
    ("text.mp4", "a text", "echo no media > $it", "not a media file"),
    ("list.mp4", "a list of files (ffconcat)", 'printf "ffconcat version 1.0\\nfile %s\\n" "$face" > $it', "not a media file"),
    ("list.m3u8", "a playlist", 'printf "#EXTM3U\\n#EXTINF:4,\\n%s\\n#EXT-X-ENDLIST\\n" "$face" > $it', "not a media file"),
    ("picture.svg", "a drawing", "echo '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"64\" height=\"64\"/>' > $it", (Whole(looks=None, still=True, face=False), "not a media file")),
    # Names and files
    ("folder.mp4", "a folder", 'mkdir "$it"', "is not a file"),
    ("empty.mp4", "empty", ': > "$it"', "is empty"),
    ("missing.mp4", "missing", "true", "no such file"),
    ("dangling.mp4", "a link to nowhere", 'ln -s nowhere "$it"', "no such file"),
    ("pipe.mp4", "a named pipe", 'mkfifo "$it"', "is not a file"),
    ("unreadable.mp4", "not to be read", Inside('cp "$face" "$it"; chmod 0 "$it"; chown 1 "$it" || true', ":"), "cannot be read"),
    ("a space.mp4", "a space in its name", ff("-c copy"), SAME),
    ("it's \"so\".mp4", "quotes in its name", ff("-c copy"), SAME),
    ("ünï 嘴 🙂.mp4", "Unicode in its name", ff("-c copy"), SAME),
    ("a:b?c=%d*.mp4", "signs in its name", 'cp "$face" "$it"', SAME),
    ("./-dash.mp4", "a dash first", ff("-c copy"), SAME),
    ("-dash.mp4", "a dash first, taken for an option", ff("-c copy").replace('"$it"', './-dash.mp4'), "unknown option"),
    ("new\nline.mp4", "a new line in its name", ff("-c copy"), SAME),
    ("end.mp4\n", "a new line ends its name", ff("-f mp4 -c copy"), SAME),
    ("b\udcff.mp4", "a name that is no UTF-8", ff("-c copy"), SAME),
]

FLOATS = "a float wav "
SOUNDS = [
    ("plain.wav", "nothing wrong with it", "cp $voice $it", SAME),
    ("nan.wav", FLOATS + "with NaN", make.floats(float("nan")), SAME),
    ("inf.wav", FLOATS + "with infinities", make.floats(float("inf")), SAME),
    ("all_nan.wav", FLOATS + "of NaN alone", make.floats(float("nan"), every=1), SAME),
    ("denormal.wav", FLOATS + "of denormal numbers", make.floats(1e-40, every=1), SAME),
    ("loud.wav", FLOATS + "up to 1e30", make.floats(1e30), SAME),
    ("clipped.wav", "clipped", 'sox "$voice" "$it" gain 40', SAME),
    ("8k.wav", "8 kHz, 8 bits", 'sox "$voice" -r 8000 -b 8 "$it"', SAME),
    ("4k.wav", "4 kHz", 'sox "$voice" -r 4000 "$it"', SAME),
    ("192k.wav", "192 kHz", 'sox "$voice" -r 192000 "$it"', SAME),
    ("24bit.wav", "24 bits, 96 kHz", 'sox "$voice" -b 24 -r 96000 "$it"', SAME),
    ("double.wav", "64-bit float", 'ffmpeg -i "$voice" -c:a pcm_f64le "$it"', SAME),
    ("mulaw.wav", "µ-law", 'ffmpeg -i "$voice" -ar 8000 -c:a pcm_mulaw "$it"', SAME),
    ("adpcm.wav", "ADPCM", 'ffmpeg -i "$voice" -c:a adpcm_ms "$it"', Whole(length=0.1)),
    ("stereo.wav", "stereo", 'sox "$voice" -c 2 "$it"', SAME),
    ("5.1.wav", "5.1, the voice in the centre", 'ffmpeg -i "$voice" -af "pan=5.1|FC=c0" "$it"', SAME),
    ("7.1.flac", "7.1, the voice in the centre", 'ffmpeg -i "$voice" -af "pan=7.1|FC=c0" "$it"', SAME),
    ("16ch.wav", "16 channels without places", make.channels, SAME),
    ("phase.wav", "stereo, one side the other's negative", 'sox "$voice" "$it" remix 1 1i', SAME),
    ("silence.wav", "silence", f'sox -n -r 16000 "$it" trim 0 {SHORT}', SAME),
    ("10ms.wav", "10 ms", 'sox "$voice" "$it" trim 0.5 0.01', Whole(seconds=0.01)),
    ("1sample.wav", "one sample", 'sox "$voice" "$it" trim 0.5 1s', Whole(seconds=0)),
    ("none.wav", "no samples", 'sox "$voice" "$it" trim 0 0', "no length"),
    ("sizes.wav", "its header says it is longer", make.wav_size(10**6), SAME),
    ("stream.wav", "its header says 4 GB, as when it was written to a pipe", make.wav_size(0xFFFFFFFF), SAME),
    ("zero.wav", "its header says 0 bytes", make.wav_size(0), SAME),
    ("short.wav", "its header says it is shorter", make.wav_size(20000), Whole(seconds=0.625)),
    ("vbr.mp3", "MP3, variable rate, a cover", make.cover, Whole(length=0.06)),
    ("noxing.mp3", "MP3 without a header", 'ffmpeg -i "$voice" -write_xing 0 -id3v2_version 0 "$it"', Whole(length=0.2)),
    ("cut.mp3", "MP3, cut", 'ffmpeg -i "$voice" w.mp3; head -c 4000 w.mp3 > "$it"', Whole(seconds=None)),
    ("opus.ogg", "Opus", 'ffmpeg -i "$voice" -c:a libopus "$it"', Whole(length=0.03)),
    ("cut.ogg", "Vorbis, cut", 'ffmpeg -i "$voice" -c:a libvorbis w.ogg; head -c 9000 w.ogg > "$it"', Whole(seconds=None)),
    ("flac.flac", "FLAC", 'ffmpeg -i "$voice" "$it"', SAME),
    ("zeroed.flac", "FLAC with 2 KB of zeros in its middle",
     'ffmpeg -i "$voice" "$it"; dd if=/dev/zero of="$it" bs=1000 seek=8 count=2 conv=notrunc status=none',
     Whole(length=0.3)),
    ("aac.m4a", "AAC in MP4", 'ffmpeg -i "$voice" "$it"', Whole(length=0.07)),
    ("aac.aac", "AAC in ADTS", 'ffmpeg -i "$voice" "$it"', Whole(length=0.2)),
    ("alac.m4a", "ALAC", 'ffmpeg -i "$voice" -c:a alac "$it"', SAME),
    ("speex.spx", "Speex", 'ffmpeg -i "$voice" -c:a libspeex -f ogg "$it"', Whole(length=0.1)),
    ("wma.wma", "WMA", 'ffmpeg -i "$voice" "$it"', Whole(length=0.2)),
    ("ac3.ac3", "AC-3", 'ffmpeg -i "$voice" -ar 48000 "$it"', Whole(length=0.05)),
    ("aiff.aiff", "AIFF", 'sox "$voice" "$it"', SAME),
    ("au.au", "AU", 'sox "$voice" "$it"', SAME),
    ("caf.caf", "CAF", 'ffmpeg -i "$voice" "$it"', SAME),
    ("late.mka", "begins at 0.5 s", 'ffmpeg -itsoffset 0.5 -i "$voice" -c copy "$it"', SAME),
    ("late.ts", "begins at 1000 s", 'ffmpeg -i "$voice" -output_ts_offset 1000 "$it"', Whole(length=0.1)),
    ("early.mp4", "begins before 0 (an edit list)", 'ffmpeg -i "$voice" w.m4a; ffmpeg -ss 0.31 -i w.m4a -c copy "$it"',
     Whole(seconds=SHORT - 0.31, length=0.1)),
    ("holes.mka", "with holes", "ffmpeg -i \"$voice\" -af 'aselect=not(between(t\\,0.4\\,0.7))' -c:a flac \"$it\"", Whole(length=0.1)),
    ("sounding.mp4", "the sound of a video", 'ffmpeg -i "$face" -i "$voice" -c:v copy -shortest "$it"', Whole(length=0.07)),
    ("mute.mp4", "a video without sound", 'cp "$face" "$it"', "no sound"),
    ("picture.png", "a picture", still(), "no sound"),
    ("bytes.wav", "random bytes", make.garbage, "not a media file"),
    ("text.wav", "a text", 'echo no media > "$it"', "not a media file"),
    ("folder.wav", "a folder", 'mkdir "$it"', "is not a file"),
    ("empty.wav", "empty", ': > "$it"', "is empty"),
    ("missing.wav", "missing", "true", "no such file"),
    ("it's \"so\" ü.wav", "quotes in its name", 'cp $voice "$it"', SAME),
]

# Of a good face and a good voice: (OUT, what it is, what is done before, what must come of it).
OUTS = [
    ("no/out.mp4", "in a folder that is missing", "true", "no such folder"),
    ("locked/out.mp4", "in a folder that cannot be written to", Inside("mkdir locked", "mount -t tmpfs -o ro none locked"),
     "cannot be written|no permission"),
    ("full/out.mp4", "on a full disk", Inside("mkdir full", "mount -t tmpfs -o size=100k none full"), "No space left|disk is full"),
    ("face.mp4", "the VIDEO itself", "true", "also an input"),
    ("linked.mp4", "a link to the VIDEO", "ln -s face.mp4 linked.mp4", "also an input"),
    ("old.mp4", "there already", "echo old > old.mp4", SAME),
    ("folder.mp4", "a folder", "mkdir folder.mp4", "is a folder"),
    ("out.avi", "not named .mp4", "true", "must end in .mp4"),
    ("it's \"so\" 嘴.mp4", "quotes in its name", "true", SAME),
    ("end\n.mp4", "a new line in its name", "true", SAME),
]

# Those that once went wrong, one for most reasons.
GUARDS = {
    "video/late.mp4", "video/exif6.jpg", "video/16384x64.png", "video/full.mp4", "video/mpeg4.avi", "video/tff.mp4", "video/end.mp4\n",
    "audio/inf.wav", "audio/adpcm.wav", "audio/16ch.wav", "out/full/out.mp4",
}
