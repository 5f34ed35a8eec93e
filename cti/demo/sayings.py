"""What the demo customers and the company wrote and said: occasion -> language -> (subject, text). Of a call the text is the
agent's note. `{name}` and `{amount}` are filled in by history.py.
"""

from __future__ import annotations

from collections.abc import Mapping

Sayings = tuple[tuple[str, str], ...]

SAID: Mapping[str, Mapping[str, Sayings]] = {
    "fault_complaint": {
        "tr": (
            ("İnternet yok", "Merhaba, sabahtan beri internet yok. Modemin DSL ışığı yanıp sönüyor."),
            ("Bağlantı kopuyor", "Bağlantı on dakikada bir kopuyor, evden çalışıyorum, acil bakar mısınız?"),
            ("Telefon da yok", "İnternet gitti, sabit telefon da çalışmıyor. Ne zaman düzelir?"),
            ("Çok yavaş", "Hız testi 2 Mbps gösteriyor, paketim 35. Modemi kapatıp açtım, değişmedi."),
        ),
        "en": (
            ("No internet", "Hello, there has been no connection since this morning. The light on the modem is red."),
            ("Line drops", "The line drops every ten minutes. I work from home, could you have a look?"),
        ),
    },
    "fault_call": {
        "tr": (
            ("Arıza", "Bağlantı yok. Modem yeniden başlatıldı, sonuç alınamadı. Arıza kaydı açıldı."),
            ("Arıza", "Hat ölçümünde kopukluk görüldü. Saha ekibine iletildi."),
            ("Arıza", "Müşteri evden çalışıyor, acil istedi. Hat parametreleri düşük, kayıt açıldı."),
        ),
        "en": (
            ("Fault", "No connection. Modem was restarted without result. Fault ticket opened."),
            ("Fault", "The line test shows a break. Passed on to the field team."),
        ),
    },
    "fault_opened": {
        "tr": (("Arıza kaydı", "Sayın {name}, arıza kaydınız alınmıştır. En kısa sürede ilgileneceğiz."),),
        "en": (("Fault ticket", "Dear {name}, your fault ticket has been opened. We will see to it soon."),),
    },
    "fault_again": {
        "tr": (
            ("Arıza takibi", "Kaydının durumunu sordu. Ekip yarın öğleden önce gidecek, bilgi verildi."),
            ("Arıza takibi", "Hâlâ düzelmediğini söyledi. Kayda not düşüldü."),
        ),
        "en": (("Fault, again", "Asked how far we are. Told that the technician comes tomorrow before noon."),),
    },
    "fault_repaired": {
        "tr": (
            ("Arıza giderildi", "Sayın {name}, arızanız giderilmiştir. Sorun sürerse lütfen bizi arayın."),
            ("Arıza giderildi", "Sayın {name}, hattınızdaki onarım tamamlandı. Anlayışınız için teşekkür ederiz."),
        ),
        "en": (("Repaired", "Dear {name}, your line has been repaired. Please call us if anything is still wrong."),),
    },
    "thanks": {
        "tr": (
            ("Teşekkür", "Düzeldi, çok teşekkürler. Gelen arkadaş çok ilgiliydi."),
            ("Teşekkür", "Sorun çözüldü, elinize sağlık."),
        ),
        "en": (("Thanks", "It works again, thank you. The technician was very kind."),),
    },
    "bill": {
        "tr": (("Faturanız hazır", "Sayın {name}, bu ayki faturanız {amount} TL. Son ödeme günü ayın 20'si."),),
        "en": (("Your bill", "Dear {name}, this month's bill is {amount} TL, due on the 20th."),),
    },
    "bill_question": {
        "tr": (
            ("Fatura itirazı", "Bu ay faturam geçen aydan yüksek geldi, nedenini öğrenmek istiyorum."),
            ("Fatura", "Faturamda tanımadığım bir servis ücreti var. Kontrol eder misiniz?"),
            ("Otomatik ödeme", "Otomatik ödeme talimatı verdim ama fatura ödenmemiş görünüyor."),
        ),
        "en": (("Question about the bill", "My bill is higher than last month's. Could you tell me why?"),),
    },
    "bill_answer": {
        "tr": (
            ("Yanıt: Fatura", "Sayın {name}, kampanya indiriminiz geçen ay sona ermiş. Ayrıntılar ektedir."),
            ("Yanıt: Fatura", "Sayın {name}, söz konusu ücret iptal edildi, sonraki faturanıza yansıyacak."),
        ),
        "en": (("Re: Question about the bill", "Dear {name}, your discount ended last month. Details are attached."),),
    },
    "campaign": {
        "tr": (
            ("Kampanya", "Fibere geçin, ilk üç ay yarı fiyat! Bilgi için bizi arayın. Mesaj istemiyorsanız: RET"),
            ("Kampanya", "Taahhüdünüz bitiyor. Size özel tekliflerimiz var."),
        ),
        "en": (("Offer", "Change to fibre: half the price for three months. Reply STOP for no more messages."),),
    },
    "campaign_call": {
        "tr": (
            ("Tarife", "Fiber kampanyasını sordu, adreste altyapı var. Düşünüp arayacak."),
            ("Tarife", "Taahhüt yenilendi, 12 ay."),
        ),
        "en": (("Tariff", "Asked about the fibre offer. Will think about it."),),
    },
    "branch_visit": {
        "tr": (
            ("Nakil başvurusu", "Adres değişikliği için geldi, kimlik görüldü, nakil formu imzalandı."),
            ("Modem değişimi", "Eski modemi getirdi, yenisi teslim edildi."),
        ),
        "en": (("New modem", "Brought the old modem, took a new one."),),
    },
    "branch_done": {
        "tr": (("Başvurunuz", "Sayın {name}, şubedeki işleminiz tamamlandı. Teşekkür ederiz."),),
        "en": (("Your request", "Dear {name}, what you asked for at our branch is done. Thank you."),),
    },
    "question": {
        "tr": (
            ("Wi-Fi şifresi", "Wi-Fi şifremi unuttum, nereden değiştirebilirim?"),
            ("Kota", "Kalan kotamı nasıl öğrenirim?"),
            ("Statik IP", "Statik IP almak istiyorum, ücreti ne kadar?"),
            ("Taşınma", "Ay sonunda taşınıyorum, hattımı nasıl taşırım?"),
        ),
        "en": (("Wi-Fi password", "I forgot my Wi-Fi password. Where can I change it?"),),
    },
    "answer": {
        "tr": (
            ("Yanıt", "Merhaba {name}, online işlemlerden Modemim sayfasında görebilirsiniz."),
            ("Yanıt", "Merhaba {name}, talebinizi ilgili birime ilettik, bugün dönüş yapacağız."),
        ),
        "en": (("Answer", "Hello {name}, you find it in your account on the page My modem."),),
    },
    "grumble": {
        "tr": (
            ("", "@anadolutelekom akşamları internet sürünüyor, film izlenmiyor. Bu mu 100 Mbps?"),
            ("", "@anadolutelekom kırk dakikadır müşteri hizmetlerinde bekliyorum, yeter artık!"),
            ("", "@anadolutelekom üç gündür teknisyen bekliyoruz, gelen giden yok."),
        ),
        "en": (("", "@anadolutelekom the connection crawls every evening. Is this 100 Mbps?"),),
    },
    "sorry": {
        "tr": (
            ("", "Merhaba {name}, yaşadığınız sorun için üzgünüz. Müşteri numaranızı özel mesajla iletir misiniz?"),
        ),
        "en": (("", "Hello {name}, we are sorry. Could you send us your customer number in a private message?"),),
    },
    "story_email": {
        "tr": (
            (
                "İnternet ve telefon yok",
                (
                    "Merhaba, bir saattir internetimiz ve sabit telefonumuz çalışmıyor. Modemi iki kez yeniden "
                    "başlattım. Eşim evden çalışıyor, bir an önce bakılmasını rica ederim. Mehmet Yılmaz"
                ),
            ),
        ),
    },
    "story_tweet": {
        "tr": (("", "@anadolutelekom Moda'da internet YİNE yok, yazdığım e-postaya da yanıt yok. Şimdi arıyorum."),),
    },
}
