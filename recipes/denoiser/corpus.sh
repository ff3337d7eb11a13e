#!/bin/bash
# Collects freely licensed speech and noise from Debian packages: what the shipped denoiser was trained on, beside the
# recordings that its model card names. Needs apt (Debian or Ubuntu; nothing is installed), dpkg, unzip, ffmpeg and 12 GB of disk.
#
#   bash recipes/denoiser/corpus.sh corpus      # -> corpus/speech/<source>/  corpus/noise/<source>/
#
# Every package's own /usr/share/doc/<package>/copyright goes along as corpus/licences/<package>.
set -euo pipefail
target=$(mkdir -p "${1:?usage: corpus.sh FOLDER}" && cd "$1" && pwd)
work="$target/packages"
mkdir -p "$work" "$target/speech" "$target/noise" "$target/licences"

speech=(festvox-ru klettres-data gcin-voice fillets-ng-data-cs asterisk-core-sounds-es-g722 asterisk-core-sounds-ru-g722 hedgewars-data)
noise=(0ad-data torcs-data supertuxkart-data widelands-data wesnoth-1.16-data minetest-data megaglest-data unknown-horizons searchandrescue-data
  crrcsim-data tuxpaint-data oxygen-sounds simutrans-pak64 supertux-data naev-data xmoto-data freedroidrpg-data pingus-data bzflag-data)

cd "$work"
for package in "${speech[@]}" "${noise[@]}"; do
  [ -d "$package" ] && continue
  apt-get download "$package"
  dpkg -x "$package"_*.deb "$package.part"
  rm "$package"_*.deb
  mv "$package.part" "$package"
  cp "$package/usr/share/doc/$package/copyright" "$target/licences/$package" || true
done

# take ROLE NAME FOLDER...: hard links, names made of the path below the folder so that nothing collides.
take() {
  local role=$1 name=$2 folder
  shift 2
  mkdir -p "$target/$role/$name"
  for folder in "$@"; do
    [ -d "$folder" ] || { echo "corpus.sh: $folder is not in the package (another version?)" >&2; continue; }
    (cd "$folder" && find . -type f \( -iname '*.ogg' -o -iname '*.wav' -o -iname '*.flac' \) -size +4k -printf '%P\n') | while IFS= read -r file; do
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

games=usr/share/games
take speech festvox-ru festvox-ru/usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav
for language in klettres-data/usr/share/klettres/*/; do take speech "klettres-$(basename "$language")" "${language%/}"; done
take speech gcin gcin-voice/usr/share/gcin-voice/ogg
take speech fillets-cs fillets-ng-data-cs/$games/fillets-ng/sound
decode speech asterisk-es asterisk-core-sounds-es-g722/usr/share/asterisk/sounds
decode speech asterisk-ru asterisk-core-sounds-ru-g722/usr/share/asterisk/sounds
for voice in British Classic Default Default_es Default_pl Default_ru Default_uk HillBilly Mobster Russian Russian_pl Surfer; do
  take speech "hedgewars-$voice" "hedgewars-data/$games/hedgewars/Data/Sounds/voices/$voice"
done

[ -d 0ad-data/audio ] || unzip -q -o "0ad-data/$games/0ad/mods/public/public.zip" 'audio/*' -d 0ad-data -x 'audio/voice/*'
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
take noise pingus "pingus-data/$games/pingus/data/sounds"
take noise bzflag "bzflag-data/$games/bzflag"
take noise hedgewars hedgewars-data/$games/hedgewars/Data/Sounds
rm -f "$target"/noise/hedgewars/*voices*
find "$target/speech" "$target/noise" -type d -empty -delete
for role in speech noise; do echo "$role: $(find "$target/$role" -type f | wc -l) files in $target/$role"; done
